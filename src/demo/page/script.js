
"use strict";
// Names and paths are data: they reach the page as text alone, never as markup.
const $ = (id) => document.getElementById(id);

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function image(source, alt) {
  const made = new Image();
  made.alt = alt;
  made.loading = "lazy";
  made.src = source;
  return made;
}

function show(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("no answer: does python -m src.demo still run?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `the server failed (${response.status}); see its terminal`);
  return answer;
}

// Tabs

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab, focus) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  if (focus) tab.focus();
  if (tab.id !== "tab-face") stopCamera();
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(tabs.at(to % tabs.length), true);
  });
});

// Whose face?

let about = { max_bytes: Infinity, knows_strangers: true, model: "" };
let asked = 0;

async function answerFor(photo) {
  const number = ++asked;
  $("answer").hidden = true;
  $("busy").hidden = true;
  show("face-error", "");
  if (photo.size > about.max_bytes) {
    show("face-error", `photo: too large: more than ${about.max_bytes.toLocaleString("en")} bytes; send less`);
    return;
  }
  $("busy").hidden = false;
  try {
    const answer = await askAbout(photo, "/api/answer");
    if (number === asked) showAnswer(answer);
  } catch (error) {
    if (number === asked) show("face-error", error.message);
  }
  if (number !== asked) return;
  $("busy").hidden = true;
  if ($("answer").hidden) return;
  try {
    const found = await askAbout(photo, "/api/nearest");
    if (number === asked) showNearest(found.nearest, found.note && `Not shown: ${found.note}.`);
  } catch (error) {
    if (number === asked) showNearest([], error.message);
  }
}

function askAbout(photo, path) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: photo });
}

function showNearest(faces, note) {
  $("nearest").replaceChildren(...faces.map(neighbour));
  show("nearest-note", note);
}

const percent = (share) => `${(100 * share).toFixed(1)}%`;

function showAnswer(answer) {
  const likeliest = answer.subjects[0].subject;
  $("seen").src = answer.seen;
  $("heat").src = answer.heat;
  $("heat-caption").textContent = `bright: what speaks for ${likeliest}`;
  $("name").textContent = answer.name;
  $("name").className = $("bars").className = answer.unknown ? "unknown" : "";
  let verdict = `${percent(answer.subjects[0].probability)} by calibrated probability`;
  if (answer.unknown) verdict = `It looks like none of the ${about.subjects} subjects; these would be the likeliest.`;
  else if (!about.knows_strangers) verdict += "; this model has no threshold, so it calls nobody unknown";
  $("verdict").textContent = verdict;
  $("bars").replaceChildren(...answer.subjects.map(bar));
  const candidates = answer.candidates && answer.candidates.length > 1 ? answer.candidates : [];
  const introduction = answer.unknown ? "If it is one of them after all, it may be any of" : "It may well be any of";
  show("candidates", candidates.length ? `${introduction}: ${candidates.join(", ")}.` : "");
  showNearest([], "Reading the training faces …");
  $("by").textContent = `Answered by ${about.model}.`;
  $("answer").hidden = false;
}

function bar({ subject, probability }) {
  const row = element("li");
  const track = element("span", "", "track");
  const filled = element("span");
  filled.style.width = percent(probability);
  track.append(filled);
  row.append(element("span", subject), element("span", percent(probability), "share"), track);
  return row;
}

function neighbour({ subject, distance, image: source }) {
  const item = element("li");
  item.append(image(source, `training face of ${subject}`), element("b", subject), element("small", `distance ${distance.toFixed(3)}`));
  return item;
}

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  const [photo] = $("file").files;
  if (photo) answerFor(photo);
  $("file").value = "";
});

for (const name of ["dragover", "drop"]) {
  window.addEventListener(name, (event) => event.preventDefault()); // or the browser would open the photo
}
$("face").addEventListener("dragover", () => $("drop").classList.add("over"));
$("face").addEventListener("dragleave", () => $("drop").classList.remove("over"));
$("face").addEventListener("drop", (event) => {
  $("drop").classList.remove("over");
  const [photo] = event.dataTransfer.files;
  if (photo) answerFor(photo);
  else show("face-error", "photo: that was no file; drop an image file");
});

let stream = null;
let cameras = 0; // how often it was asked for or stopped

async function startCamera() {
  const number = ++cameras;
  show("face-error", "");
  let granted;
  try {
    granted = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
  } catch (error) {
    show("face-error", `camera: ${error.message || error.name}; allow this page to use it, or choose a photo`);
    return;
  }
  if (number !== cameras) { // stopped, or asked for again, before it was granted
    for (const track of granted.getTracks()) track.stop();
    return;
  }
  stream = granted;
  $("video").srcObject = stream;
  $("live").hidden = false;
  $("drop").hidden = true;
  $("take").focus();
}

function stopCamera() {
  cameras++;
  const used = stream !== null;
  for (const track of stream ? stream.getTracks() : []) track.stop();
  stream = $("video").srcObject = null;
  $("live").hidden = true;
  $("drop").hidden = false;
  if (used && !$("face").hidden) $("camera").focus();
}

// A still is the square in the middle, as the page shows it.
function takeStill() {
  const video = $("video");
  const side = Math.min(video.videoWidth, video.videoHeight);
  if (!side) return;
  const canvas = element("canvas");
  canvas.width = canvas.height = side;
  const left = (video.videoWidth - side) / 2, top = (video.videoHeight - side) / 2;
  canvas.getContext("2d").drawImage(video, left, top, side, side, 0, 0, side, side);
  canvas.toBlob((photo) => photo && answerFor(photo), "image/jpeg", 0.95);
  stopCamera();
}

$("camera").addEventListener("click", startCamera);
$("stop").addEventListener("click", stopCamera);
$("take").addEventListener("click", takeStill);

// Labels in doubt

const HEADINGS = { suspect: "probably", near_duplicate: "nearly a duplicate", conflicting_label: "two labels", decided: "decided" };
let changes = new Map(); // file to what is to be saved
let version = ""; // of the dataset that is shown

function unsaved(said) {
  const count = changes.size;
  $("save").disabled = count === 0;
  $("unsaved").textContent = said || (count ? `${count} unsaved decision${count === 1 ? "" : "s"}` : "Nothing to save");
}

function doubt(item, number, listing) {
  const card = element("li");
  const what = element("div", "", "what");
  const title = item.suggested ? `${item.subject} → ${item.suggested}?` : item.subject;
  what.append(element("h3", title), element("p", `${HEADINGS[item.kind]}: ${item.why}`), element("p", `${item.file} (${item.split})`, "quiet"));
  if (item.also.length) what.append(element("p", `beside ${item.also.join(", ")}`, "quiet"));
  const photo = item.row === null ? element("div", "left out", "absent") : image(`/api/images/${listing.version}/${item.row}`, `image labelled ${item.subject}`);
  const fields = element("fieldset");
  fields.append(element("legend", `Decision about ${item.file}`));

  const names = element("select");
  names.setAttribute("aria-label", `Rename ${item.file} to`);
  const others = listing.subjects.filter((name) => name !== item.subject);
  if (item.to && !others.includes(item.to)) others.push(item.to);
  names.append(...others.map((name) => new Option(name, name)));
  names.value = item.to || (others.includes(item.suggested) ? item.suggested : others[0] || "");
  const undo = element("button", "undo", "undo");
  undo.type = "button";
  undo.setAttribute("aria-label", `No decision about ${item.file}`);

  const chosen = () => fields.querySelector("input:checked")?.value ?? null;
  const update = () => {
    const decision = chosen(), to = decision === "rename" ? names.value : "";
    card.classList.toggle("decided", decision !== null);
    undo.hidden = decision === null;
    if (decision === item.decision && to === item.to) changes.delete(item.file);
    else changes.set(item.file, { file: item.file, decision, to });
    unsaved();
  };
  for (const decision of ["keep", "drop", "rename"]) {
    const label = element("label", "", "choice");
    const input = element("input");
    input.type = "radio";
    input.name = `decision-${number}`;
    input.value = decision;
    input.checked = item.decision === decision;
    input.disabled = decision === "rename" && others.length === 0;
    input.addEventListener("change", update);
    label.append(input, element("span", decision === "rename" ? "rename to" : decision));
    fields.append(label);
    if (decision === "rename") fields.append(names);
  }
  names.addEventListener("change", () => {
    fields.querySelector("input[value=rename]").checked = true;
    update();
  });
  undo.addEventListener("click", () => {
    const checked = fields.querySelector("input:checked");
    if (checked) checked.checked = false;
    update();
    fields.querySelector("input").focus();
  });
  fields.append(undo);
  card.classList.toggle("decided", item.decision !== null);
  undo.hidden = item.decision === null;
  card.append(photo, what, fields);
  return card;
}

async function loadDoubts(said) {
  try {
    const listing = await ask("/api/doubts");
    changes = new Map();
    version = listing.version;
    const open = listing.items.filter((item) => item.decision === null).length;
    $("count").textContent = String(open);
    $("count").hidden = open === 0;
    $("count").setAttribute("aria-label", `${open} undecided`);
    $("where").textContent = `Decisions are kept in ${listing.file}, which git versions.`;
    const notes = listing.items.length || listing.notes.length ? listing.notes : ["No label is in doubt."];
    $("notes").replaceChildren(...notes.map((text) => element("li", text)));
    $("notes").hidden = notes.length === 0;
    $("doubts").replaceChildren(...listing.items.map((item, number) => doubt(item, number, listing)));
    $("bar").hidden = listing.items.length === 0;
    unsaved(said);
    show("labels-error", "");
  } catch (error) {
    show("labels-error", error.message);
  }
}

$("save").addEventListener("click", async () => {
  $("save").disabled = true;
  const fields = [...document.querySelectorAll("#doubts fieldset")];
  for (const each of fields) each.disabled = true; // what is decided meanwhile would be lost
  try {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ version, decided: [...changes.values()] });
    const count = changes.size;
    await ask("/api/decisions", { method: "POST", headers, body });
    changes = new Map();
    await loadDoubts(`Saved ${count} decision${count === 1 ? "" : "s"}; now run dvc repro`);
  } catch (error) {
    show("labels-error", error.message);
    unsaved();
  } finally {
    for (const each of fields) each.disabled = false;
  }
});

window.addEventListener("beforeunload", (event) => {
  if (changes.size) event.preventDefault();
});

ask("/api/about").then(
  (found) => {
    about = found;
    $("about").textContent = `${found.model} answers; it knows ${found.subjects} subjects.`;
  },
  (error) => show("face-error", error.message),
);
loadDoubts();
select(tabs.find((tab) => location.hash === `#${tab.getAttribute("aria-controls")}`) || tabs[0]);
