"""The demo page in a real browser, with a tiny model behind it; skipped where there is none."""

import json

import pytest
import soundfile

from espnet_otreg.demo.service import Service
from espnet_otreg.stages import demo
from espnet_otreg.stages.screenshots import find_chromium, launch_chromium
from espnet_otreg.transcribe.opening import Asked, open_model
from espnet_otreg.transcribe.recordings import read
from tests.demo.conftest import serving
from tests.support.tiny_packs import MODEL, save_clip, save_recogniser

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium: make browser")
pytest.importorskip("playwright")

PRETEND = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")  # a beep
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1240, "height": 900}
ANSWERED = "document.querySelector('#result:not([hidden]), #message:not([hidden])') !== null"
COLOURS = """() => {
  const canvas = document.getElementById("picture");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
}"""
WEBM = """async () => {
  const context = new AudioContext(), made = context.createMediaStreamDestination();
  const tone = new OscillatorNode(context, { frequency: 300 });
  tone.connect(made);
  tone.start();
  const recorder = new MediaRecorder(made.stream, { mimeType: "audio/webm" }), parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((done) => { recorder.onstop = done; });
  recorder.start();
  await new Promise((done) => setTimeout(done, 600));
  recorder.stop();
  await ended;
  const files = new DataTransfer();
  files.items.add(new File(parts, "talk.webm"));
  document.getElementById("file").files = files.files;
  document.getElementById("file").dispatchEvent(new Event("change"));
}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return save_recogniser(tmp_path_factory.mktemp("home") / "otreg")


@pytest.fixture(scope="module")
def server(home, tmp_path_factory):
    args = demo.get_parser().parse_args([str(home), "--model_file", MODEL])
    made = Service("tiny", lambda: demo.open_pictured(args))
    made.load()
    with serving(made, tmp_path_factory.mktemp("uploads")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium():
    with launch_chromium(*PRETEND) as browser:
        yield browser


@pytest.fixture
def page(server, chromium):
    """The page; any complaint of the browser's, and any request elsewhere, fails the test."""
    opened = chromium.new_page(viewport=DESK)
    complaints = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda m: complaints.append(m.text) if "status of 4" not in m.text else 0)
    opened.on("request", lambda request: complaints.append(request.url))
    opened.goto(server.address)
    yield opened
    own = (server.address, "data:", "blob:")
    assert [text for text in complaints if not text.startswith(own)] == []
    opened.close()


def wait_for(page, condition):
    for _ in range(600):  # the page's own policy forbids the browser to wait for a condition
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}")


@pytest.fixture
def clip(tmp_path):
    return save_clip(tmp_path / "a.wav", 3)


def test_an_uploaded_recording_becomes_words_that_play_and_a_picture(page, home, clip):
    page.set_input_files("#file", clip)
    wait_for(page, ANSWERED)
    recogniser, _ = open_model(Asked(str(home), model_file=MODEL))
    (expected,) = recogniser.recognise([read(clip, 16000)], None)
    assert page.locator(".word").all_inner_texts() == [word.word for word in expected.words]
    page.click("summary")
    rows = [row.split("\t") for row in page.locator("#table tr").all_inner_texts()]
    assert [row[0] for row in rows] == [word.word for word in expected.words]
    assert [float(row[1]) for row in rows] == pytest.approx(
        [word.start for word in expected.words], abs=0.006
    )
    assert "Transport plan" in page.inner_text("#caption")
    assert "trained with the transport term" in page.inner_text("#caption")
    assert page.evaluate(COLOURS) > 20
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 140)
    assert "of the frame to" in page.inner_text("#readout")
    page.locator(".word").last.click()
    last = expected.words[-1].start
    wait_for(page, f"Number(document.getElementById('now').textContent) >= {last - 0.1}")


def test_a_recording_from_the_microphone_is_sent_as_it_was_heard(page, server, monkeypatch):
    sent = []
    own = server.service.transcribe

    def kept(path, name, language):
        sent.append((soundfile.info(str(path)), name))
        return own(path, name, language)

    monkeypatch.setattr(server.service, "transcribe", kept)
    page.click("#record")
    wait_for(page, "parseFloat(document.getElementById('record-time').textContent) > 1")
    page.click("#record")
    wait_for(page, ANSWERED)
    ((sound, name),) = sent
    assert (sound.samplerate, sound.channels, sound.subtype) == (16000, 1, "PCM_16")
    assert 1 < sound.duration < 30 and name.startswith("recorded ")
    assert page.locator("#result").is_visible(), page.inner_text("#message")


def test_what_only_the_browser_can_decode_is_decoded_by_it(page):
    page.evaluate(WEBM)
    wait_for(page, ANSWERED)
    assert "talk.webm was decoded by the browser" in page.inner_text("#message")
    assert page.locator("#result").is_visible()


def test_what_nobody_can_decode_is_told(page, tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    page.set_input_files("#file", tmp_path / "notes.txt")
    wait_for(page, ANSWERED)
    assert page.inner_text("#message").startswith("Unreadable: notes.txt")
    assert not page.locator("#result").is_visible()


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("new DOMException('', 'NotAllowedError')", "The microphone was refused."),
        ("new DOMException('', 'NotFoundError')", "No microphone was found."),
    ],
)
def test_a_microphone_that_is_not_to_be_had_is_told(page, before, told):
    page.evaluate(f"void (navigator.mediaDevices.getUserMedia = async () => {{ throw {before}; }})")
    page.click("#record")
    wait_for(page, ANSWERED)
    assert page.inner_text("#message").startswith(told)
    assert page.get_attribute("#record", "aria-pressed") == "false"


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_sticks_out_at_the_side(page, clip, size):
    page.set_viewport_size(size)
    page.set_input_files("#file", clip)
    wait_for(page, ANSWERED)
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wider) == 0


def test_the_page_is_there_while_the_model_loads_and_when_the_program_has_ended(chromium, tmp_path):
    opened = chromium.new_page()
    with serving(Service("slow.zip", lambda: None), tmp_path) as server:
        opened.goto(server.address)
        wait_for(opened, "document.getElementById('model').textContent === 'slow.zip'")
        assert opened.inner_text("#state").split() == ["slow.zip", "is", "loading", "…"]
    wait_for(opened, "document.getElementById('state').dataset.state === 'gone'")
    assert "has the program ended?" in opened.inner_text("#state")
    opened.close()


def test_languages_of_a_model_are_offered_by_name_and_sent(chromium, service, parrot, tmp_path):
    with serving(service, tmp_path) as server:
        opened = chromium.new_page()
        opened.goto(server.address)
        wait_for(opened, "!document.getElementById('language').disabled")
        offered = opened.locator("#language option").all_inner_texts()
        assert offered == ["not said", "English", "French"]
        opened.select_option("#language", label="French")
        opened.set_input_files("#file", save_clip(tmp_path / "a.wav"))
        wait_for(opened, ANSWERED)
        assert opened.locator(".word").all_inner_texts() == ["good", "day"]
        widths = (
            "[...document.querySelectorAll('.sure')].map((n) => n.style.getPropertyValue('--sure'))"
        )
        assert opened.evaluate(widths) == ["0.9", "0.25"]
        assert opened.locator(".sure.low").count() == 1
        assert "90 %" in opened.locator(".word").first.get_attribute("title")
        with opened.expect_download() as saving:
            opened.click("#save")
        row = json.loads(saving.value.path().read_text(encoding="utf-8"))
        opened.close()
    assert [language for _, language in parrot.heard] == ["fr"]
    assert (row["pred_text"], row["language"]) == ("good day", "fr")
    assert row["words"][0] == {"word": "good", "start": 0.1, "end": 0.3, "confidence": 0.9}
