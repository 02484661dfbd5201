// Two runs: their videos in step, and the config fields in which they differ.

const [left, right] = all("#player video"), captions = all("#player figcaption");
const galleryOf = id => all("#samples [data-run]").find(gallery => gallery.dataset.run === id);
const clipsOf = id => new Map(all("video", galleryOf(id) ?? $("speed")).map(video => [video.dataset.clip, video]));
const last = () => Math.max(0, Math.round(Math.min(left.duration || 0, right.duration || 0) * fps) - 1);
const middle = frame => (frame + 0.5) / fps;

for (const choice of [$("first"), $("second")]) for (const run of runs) choice.add(new Option(`${run.label} (${run.id})`, run.id));
const filmed = runs.filter(run => clipsOf(run.id).size);
if (runs.length > 1) $("second").selectedIndex = 1;
if (filmed.length > 1) [$("first").value, $("second").value] = [filmed[0].id, filmed[1].id];

function compare() {
  const mine = clipsOf($("first").value), others = clipsOf($("second").value), before = $("clip").value;
  const shared = [...mine.keys()].filter(name => others.has(name));
  $("clip").replaceChildren(...shared.map(name => new Option(name, name)));
  if (shared.includes(before)) $("clip").value = before;
  $("player").hidden = !shared.length;
  load(mine, others);
  differ(byId.get($("first").value)?.config ?? {}, byId.get($("second").value)?.config ?? {});
}

function load(mine = clipsOf($("first").value), others = clipsOf($("second").value)) {
  pause();
  for (const [video, source] of [[left, mine.get($("clip").value)], [right, others.get($("clip").value)]]) {
    if (!source) return;
    video.poster = source.poster; video.src = source.src; video.width = source.width; video.height = source.height;
  }
  [captions[0].textContent, captions[1].textContent] = [byId.get($("first").value).label, byId.get($("second").value).label];
}

function differ(a, b) {
  const out = $("difference"), keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter(key => a[key] !== b[key]).sort();
  out.replaceChildren();
  const row = (tag, cells) => { const tr = out.insertRow(); for (const cell of cells) { const element = document.createElement(tag); element.textContent = cell ?? "absent"; tr.append(element); } };
  row("th", ["field", "first", "second"]);
  for (const key of keys) row("td", [key, a[key], b[key]]);
  if (!keys.length) row("td", ["none", "", ""]);
}

function label() {
  $("time").max = last();
  const frame = Math.min(last(), Math.floor(left.currentTime * fps + 1e-3));
  $("time").value = frame;
  $("frame").value = `${frame + 1}/${last() + 1}`;
}

function pause() { left.pause(); right.pause(); $("play").textContent = "Play"; }

function go(frame) {
  pause();
  $("time").value = Math.max(0, Math.min(last(), frame));
  left.currentTime = right.currentTime = middle(+$("time").value);
}

function follow() {
  label();
  if (left.paused) return;
  if (left.currentTime * fps >= last() + 0.9 || left.ended) { left.currentTime = right.currentTime = 0; left.play(); right.play(); }
  else if (Math.abs(right.currentTime - left.currentTime) > 1 / fps) right.currentTime = left.currentTime;
  requestAnimationFrame(follow);
}

async function play() {
  if (!left.paused) return pause();
  left.playbackRate = right.playbackRate = +$("speed").value;
  right.currentTime = left.currentTime;
  $("play").textContent = "Pause";
  try { await Promise.all([left.play(), right.play()]); } catch { return pause(); }
  follow();
}

$("first").addEventListener("change", compare);
$("second").addEventListener("change", compare);
$("clip").addEventListener("change", () => load());
$("speed").addEventListener("change", () => { left.playbackRate = right.playbackRate = +$("speed").value; });
$("sound").addEventListener("change", () => { left.muted = !$("sound").checked; });
$("play").addEventListener("click", play);
$("back").addEventListener("click", () => go(+$("time").value - 1));
$("forth").addEventListener("click", () => go(+$("time").value + 1));
$("time").addEventListener("input", () => go(+$("time").value));
for (const video of [left, right]) { video.addEventListener("loadedmetadata", label); video.addEventListener("seeked", label); }
compare();
