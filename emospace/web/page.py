"""The page itself, in Gradio."""
# pyright: reportMissingImports=false

from typing import Any

import gradio as gr

from conventions.errors import UserError
from emospace.talker import TalkReport
from emospace.talking.pose import NATURAL, STILL
from emospace.web.job import (
    MIXTURE,
    PICTURE,
    SCHEDULE,
    SIZES,
    SOUND,
    SOURCES,
    WORDS,
    Examples,
    Made,
    Stopped,
    Studio,
    Wish,
)

TITLE = """# emospace
A talking face from one portrait, a speech recording and an emotion."""

NOTE = """Networks: {model}. Uploads and videos are deleted when you leave the page, or after {minutes} minutes.
Use images and voices only of people who agree to it."""

TOGETHER = """<script>
for (const kind of ["play", "pause", "seeked"]) document.addEventListener(kind, (event) => {
  const film = event.target, render = document.querySelector("#render video");
  if (!render || !film.closest || !film.closest("#film")) return;
  render.currentTime = film.currentTime;
  if (kind === "play") render.play(); else if (kind === "pause") render.pause();
}, true);
</script>"""
"""Makes the 3D face play, pause and seek with the video."""

STYLE = """
footer { display: none !important; }
#portrait img { object-fit: contain; }
"""

SWEEP_SECONDS = 60
"""How often files are looked for that are too old."""

_PROGRESS = gr.Progress()


def build(studio: Studio, examples: Examples, keep_seconds: int) -> gr.Blocks:
    """The page; files are deleted `keep_seconds` after they came, where the visitor has not left before."""
    with gr.Blocks(title="emospace", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, keep_seconds)) as page:
        gr.Markdown(TITLE)
        with gr.Row():
            with gr.Column(min_width=340):
                wish = _inputs()
                with gr.Row():
                    make = gr.Button("Make the video", variant="primary", elem_id="make", scale=3)
                    stop = gr.Button("Stop", elem_id="stop", scale=1)
            with gr.Column(min_width=340):
                with gr.Row():
                    film = gr.Video(
                        label="Video", elem_id="film", autoplay=True, interactive=False, height=400, scale=3
                    )
                    render = gr.Video(label="Driven 3D face", elem_id="render", interactive=False, height=400, scale=2)
                about = gr.Markdown(elem_id="about")
        gr.Examples(
            [[str(examples.portrait), *row] for row in examples.rows],
            [wish.portrait, *([wish.speech] if examples.speech else []), wish.source, wish.words, wish.schedule],
            label="Examples (choose one, then make the video)",
            elem_id="examples",
            api_visibility="private",
        )
        gr.Markdown(NOTE.format(model=studio.talker.model.origin.rsplit("/", 1)[-1], minutes=keep_seconds // 60))

        def produce(request: gr.Request, progress: gr.Progress = _PROGRESS, *values: Any) -> tuple[str, str, str]:
            def show(done: int, total: int) -> None:
                progress((done, total), desc="drawing", unit="frames")

            try:
                made = studio.make(str(request.session_hash), Wish(*values), show)
            except (UserError, Stopped) as error:
                raise gr.Error(str(error), duration=None, print_exception=False) from error
            return str(made.film), str(made.render), _about(made)

        def leave(request: gr.Request) -> None:
            studio.folder.end(str(request.session_hash))

        def halt(request: gr.Request) -> None:
            studio.folder.stop(str(request.session_hash))

        make.click(produce, list(wish), [film, render, about], preprocess=False, api_visibility="private")
        stop.click(halt, queue=False, api_visibility="private")
        page.unload(leave)
    return page


def _inputs() -> Wish:
    """The inputs, in the order of their values."""
    with gr.Row():
        portrait = gr.Image(
            label="Portrait",
            elem_id="portrait",
            type="filepath",
            image_mode=None,
            sources=["upload", "clipboard"],
            height=260,
            min_width=240,
        )
        speech = gr.Audio(
            label="Speech",
            elem_id="speech",
            type="filepath",
            sources=["upload", "microphone"],
            buttons=[],
            min_width=240,
        )
    source = gr.Radio(list(SOURCES), value=WORDS, label="Emotion given as", elem_id="source")
    with gr.Group() as as_words:
        words = gr.Textbox("quietly happy", label="Emotion in words", elem_id="words", max_lines=1)
    with gr.Group(visible=False) as as_picture:
        picture = gr.Image(
            label="Image of a face", elem_id="picture", type="filepath", image_mode=None, sources=["upload"], height=220
        )
    with gr.Group(visible=False) as as_sound:
        sound = gr.Audio(label="Voice", elem_id="sound", type="filepath", sources=["upload", "microphone"], buttons=[])
    with gr.Group(visible=False) as as_mixture:
        with gr.Row():
            first = gr.Textbox("happy", label="First emotion", elem_id="first", max_lines=1)
            second = gr.Textbox("surprised", label="Second emotion", elem_id="second", max_lines=1)
        share = gr.Slider(0, 100, 50, step=5, label="Share of the second, %", elem_id="share")
    with gr.Group(visible=False) as as_schedule:
        schedule = gr.Textbox(
            "0:calm 1:very happy 2:sad", label="Schedule", info="second:emotion second:emotion ...", elem_id="schedule"
        )
    groups = {WORDS: as_words, PICTURE: as_picture, SOUND: as_sound, MIXTURE: as_mixture, SCHEDULE: as_schedule}
    source.change(
        lambda chosen: [gr.update(visible=name == chosen) for name in groups],
        source,
        list(groups.values()),
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    with gr.Row():
        own_level = gr.Checkbox(label="Set the intensity", elem_id="own_level", min_width=120)
        level = gr.Slider(0, 3, 2, step=0.1, label="Intensity, 0 to 3", elem_id="level", scale=2)
    with gr.Accordion("Video", open=False):
        pose = gr.Radio([NATURAL, STILL], value=NATURAL, label="Head", elem_id="pose")
        size = gr.Dropdown(list(SIZES), value="512", label="Longer side, pixels", elem_id="size")
        crop = gr.Checkbox(label="Only the square of the face", elem_id="crop")
    return Wish(
        portrait,
        speech,
        source,
        words,
        picture,
        sound,
        first,
        second,
        share,
        schedule,
        own_level,
        level,
        pose,
        crop,
        size,
    )


def _about(made: Made) -> str:
    """What a video was made from, as Markdown."""
    report: TalkReport = made.report
    lines = [f"{report.frames} frames, {report.seconds:.1f} s, {report.width} x {report.height} pixels"]
    lines += [_emotion(cue, len(report.emotions) > 1) for cue in report.emotions]
    lines += [f"Note: {line}" for line in (*made.warnings, *report.stand_ins)]
    return "\n".join(f"- {line}" for line in lines)


def _emotion(cue: dict[str, str | float], scheduled: bool) -> str:
    emotion = cue["emotion"] if cue["modality"] == "text" or "%" in str(cue["emotion"]) else f"from {cue['modality']}"
    begin = f"{cue['second']:g} s: " if scheduled else ""
    return f"{begin}{emotion}, intensity {cue['level']:.1f}"
