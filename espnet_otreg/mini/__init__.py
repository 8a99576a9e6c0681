"""Small corpora of synthetic speech in the layouts of the real downloads.

`lexicon` and `grammar` make parallel sentences, `speech` speaks them, `domains` and `render` give
them a recording condition, `layouts` puts them where the real
corpora have them, `build` does it all.
"""
