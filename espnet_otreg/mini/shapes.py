"""The sentence shapes: the same meaning in English, Spanish and French.

`{t.a.j}` is a thing with article and agreeing adjective, `{j@t}` an adjective agreeing with the
thing, `{p.the}` a person, `{l.at}` / `{l.the}` a place with or without its preposition,
`{v.past}` an inflected verb. The letters are the slots of `grammar.SLOTS`.
"""

SHAPES = (
    ("{p.the} {v.past} {t.the} {y}",) * 3,
    ("{y} {p.the} {v.past} {t.a.j}",) * 3,
    ("{p.the} {v.now} {n} {t.plural} {l.at}",) * 3,
    ("{p.the} {v.past} {n} {t.plural.j}",) * 3,
    ("{y} {p.the} {i.past} {l.at}",) * 3,
    ("{p.the} {v.now} {t.the.j}",) * 3,
    ("{d} {p.the} {v.now} {t.the}",) * 3,
    (
        "{p.the} and {q.the} {i.they} {l.at}",
        "{p.the} y {q.the} {i.they} {l.at}",
        "{p.the} et {q.the} {i.they} {l.at}",
    ),
    (
        "{d} {p.the} and {q.the} {i.they}",
        "{d} {p.the} y {q.the} {i.they}",
        "{d} {p.the} et {q.the} {i.they}",
    ),
    (
        "{t.the.j} is near {l.the}",
        "{t.the.j} está cerca de {l.the}",
        "{t.the.j} est près de {l.the}",
    ),
    (
        "{t.the} {l.at} is {j@t}",
        "{t.the} {l.at} {j.is} {j@t}",
        "{t.the} {l.at} est {j@t}",
    ),
    (
        "there are {n} {t.plural} {l.at}",
        "hay {n} {t.plural} {l.at}",
        "il y a {n} {t.plural} {l.at}",
    ),
    (
        "{p.the} has {n} {t.plural.j}",
        "{p.the} tiene {n} {t.plural.j}",
        "{p.the} a {n} {t.plural.j}",
    ),
    ("{p.the} {m} {v.infinitive} {t.the} {u}",) * 3,
    ("{u} {p.the} {m} {v.infinitive} {t.a.j}",) * 3,
    (
        "{p.the} does not {v.infinitive} {t.the.j}",
        "{p.the} no {v.now} {t.the.j}",
        "{p.the} ne {v.now} pas {t.the.j}",
    ),
    (
        "where is {t.the.j} of {p.the}",
        "dónde está {t.the.j} de {p.the}",
        "où est {t.the.j} de {p.the}",
    ),
    (
        "i see {n} {t.plural.j} behind {l.the}",
        "veo {n} {t.plural.j} detrás de {l.the}",
        "je vois {n} {t.plural.j} derrière {l.the}",
    ),
    (
        "{p.the} goes to {l.the} {d}",
        "{p.the} va a {l.the} {d}",
        "{p.the} va à {l.the} {d}",
    ),
    (
        "{p.the} says that {q.the} {v.past} {t.the}",
        "{p.the} dice que {q.the} {v.past} {t.the}",
        "{p.the} dit que {q.the} {v.past} {t.the}",
    ),
    (
        "{p.the} thinks that {t.the} is {j@t}",
        "{p.the} cree que {t.the} {j.is} {j@t}",
        "{p.the} pense que {t.the} est {j@t}",
    ),
    (
        "{p.the} with {t.the.j} {i.now} {l.at}",
        "{p.the} con {t.the.j} {i.now} {l.at}",
        "{p.the} avec {t.the.j} {i.now} {l.at}",
    ),
    (
        "{p.the} {g.past} {t.a} to {q.the}",
        "{p.the} {g.past} {t.a} a {q.the}",
        "{p.the} {g.past} {t.a} à {q.the}",
    ),
    (
        "{p.the} {m} {g.infinitive} {n} {t.plural} to {q.the}",
        "{p.the} {m} {g.infinitive} {n} {t.plural} a {q.the}",
        "{p.the} {m} {g.infinitive} {n} {t.plural} à {q.the}",
    ),
    (
        "we are looking for {n} {t.plural.j} for {q.the}",
        "buscamos {n} {t.plural.j} para {q.the}",
        "nous cherchons {n} {t.plural.j} pour {q.the}",
    ),
    (
        "it is {n} o'clock and {p.the} {i.now}",
        "son las {n} y {p.the} {i.now}",
        "il est {n} heures et {p.the} {i.now}",
    ),
    (
        "{p.the} {i.past} with {q.the} {l.at}",
        "{p.the} {i.past} con {q.the} {l.at}",
        "{p.the} {i.past} avec {q.the} {l.at}",
    ),
    (
        "{p.the} {f} {v.now} {t.the} {l.at}",
        "{p.the} {f} {v.now} {t.the} {l.at}",
        "{p.the} {v.now} {f} {t.the} {l.at}",
    ),
    (
        "{t.this} is very {j@t}",
        "{t.this} {j.is} muy {j@t}",
        "{t.this} est très {j@t}",
    ),
    (
        "why does {p.the} {v.infinitive} {t.the.j}",
        "por qué {v.now} {p.the} {t.the.j}",
        "pourquoi {p.the} {v.now} {t.the.j}",
    ),
    (
        "when {p.the} {i.now} {q.the} {v.now} {n} {t.plural}",
        "cuando {p.the} {i.now} {q.the} {v.now} {n} {t.plural}",
        "quand {p.the} {i.now} {q.the} {v.now} {n} {t.plural}",
    ),
)
