import { follow, get, start } from "/static/calls.js";
import { drawFile, drawHistogram, drawMosaic, drawPicture } from "/static/draw.js";

const $ = (id) => document.getElementById(id);
const count = (number) => Math.round(number).toLocaleString("en");
const ms = (number) => (number < 100 ? number.toFixed(1) : count(number));
const HINTS = {
  gmw: "Boolean circuits by oblivious transfer. Nobody else is needed.",
  gc: "Garbled circuits. Nobody else is needed; few rounds, many bytes.",
  table: "Tables by oblivious transfer, comparing 10 bits: signs very near zero are coins. Nobody else is needed.",
  fss: "Function secret sharing. A dealer deals keys: a third process, which both trust not to collude.",
  loopback: "As fast as this machine.",
  lan: "Imitated by a relay: 1 Gbit/s, 0.3 ms round trip.",
  wan: "Imitated by a relay: 100 Mbit/s, 40 ms round trip.",
  label: "The class alone: it tells least about the weights.",
  scores: "Scores, rounded to a public step.",
  logits: "All the network says: tells most about the weights.",
};
let picture = null;
let shown = null;
let about = null;

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function fail(error) {
  $("error").textContent = error.message;
  $("error").hidden = false;
  $("status").textContent = "It did not end well.";
}

function makeSwitch(name, positions) {
  for (const position of positions) {
    const input = element("input", { type: "radio", name, value: position, checked: position === positions[0] });
    $(name).append(element("label", {}, input, position));
  }
  const hint = () => ($(`${name}-hint`).textContent = HINTS[chosen(name)]);
  $(name).addEventListener("change", hint);
  hint();
}

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

function take(blob, name) {
  picture = blob;
  $("result").hidden = false;
  $("original").hidden = true;
  createImageBitmap(blob).then(
    (bitmap) => {
      drawFile($("original"), bitmap);
      $("original").setAttribute("aria-label", `Your picture: ${name}`);
      $("original").hidden = false;
    },
    () => {}, // DICOM, TIFF: the browser cannot show them, the client can read them
  );
  $("status").textContent = `${name} is ready to run.`;
  for (const button of $("samples").children) button.setAttribute("aria-pressed", String(button.value === name));
}

function makeSamples(names) {
  for (const name of names) {
    const image = element("img", { src: `/api/samples/${name}`, alt: name, width: 64, height: 64 });
    const button = element("button", { type: "button", value: name }, image);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", async () => take(await (await fetch(`/api/samples/${name}`)).blob(), name));
    $("samples").append(button);
  }
}

function busy(on) {
  for (const id of ["run", "race"]) $(id).setAttribute("aria-disabled", String(on));
}

function addStep(event) {
  const row = $("step-rows").insertRow();
  for (const text of [event.phase, event.name, count(event.sent_bytes), count(event.received_bytes), event.rounds, ms(event.ms)]) {
    row.insertCell().textContent = text;
  }
  const box = row.closest(".scroll");
  box.scrollTop = box.scrollHeight;
}

function progress(event) {
  if (event.event === "waiting") $("status").textContent = `Waiting ${event.what} ...`;
  if (event.event === "opened") $("status").textContent = "Offline phase: correlations that need no picture are being prepared ...";
  if (event.event === "prepared") $("status").textContent = `Prepared in ${ms(event.ms)} ms. Online phase ...`;
  if (event.event === "step") addStep(event);
  const at = { waiting: 0.05, opened: 0.15, prepared: 0.8, done: 1 }[event.event];
  if (at) $("bar").value = at;
  else $("bar").value = Math.min(0.98, $("bar").value + 0.02);
}

async function runOnce(relus, onEvent = () => {}) {
  $("error").hidden = true;
  if (picture === null) throw new Error("Choose a picture first: drop a file, or take a sample.");
  $("steps").hidden = false;
  $("step-rows").replaceChildren();
  $("bar").value = 0;
  const choice = { backend: chosen("backend"), link: chosen("link"), reveal: chosen("reveal"), relus };
  const run = await start(picture, choice);
  const done = await follow(run, (event) => {
    progress(event);
    onEvent(event);
  });
  $("status").textContent = `Done: ${done.result.relus.toLocaleString("en")} ReLUs under ${choice.backend}, ${ms(done.result.online_ms)} ms online.`;
  return { run, result: done.result };
}

function verdict(place, test, what) {
  if (!test) {
    place.textContent = "Too few bytes for a test.";
    return;
  }
  const p = test.p < 1e-6 ? "below 10\u207b\u2076" : test.p.toFixed(3);
  const word = element("span", { className: `verdict ${test.uniform ? "good" : "bad"}` }, test.uniform ? "looks uniform" : "not uniform");
  place.replaceChildren(`${what} `, word, `: chi-square ${count(test.statistic)} at 255 degrees of freedom, p ${p}, ${count(test.bytes)} bytes`);
  place.dataset.uniform = String(test.uniform);
}

async function showPicture(run) {
  const view = await get(`/api/runs/${run}/picture`);
  drawPicture($("input"), view.input);
  drawPicture($("masked"), view.masked);
  drawHistogram($("plain-histogram"), view.plain_test.counts);
  drawHistogram($("masked-histogram"), view.masked_test.counts);
  verdict($("plain-test"), view.plain_test, "The picture in fixed point");
  verdict($("masked-test"), view.masked_test, "What was sent");
  $("masked-text").textContent = `The ${count(view.sent_bytes)} bytes that left the client in this inference: picture minus a fresh random mask, modulo 2^${view.ring_bits}. Drawn: the highest 8 bits of each number.`;
}

function showResult(result) {
  const answer = result.predictions[0];
  $("label").textContent = answer.label;
  $("scores").replaceChildren();
  if (answer.logits) {
    const top = Math.max(...answer.logits);
    const weights = answer.logits.map((logit) => Math.exp(logit - top));
    const sum = weights.reduce((a, b) => a + b);
    weights
      .map((weight, index) => [weight / sum, about.classes[index]])
      .sort((a, b) => b[0] - a[0])
      .slice(0, 5)
      .forEach(([share, name]) => {
        const fill = element("span", { className: "fill" });
        fill.style.width = `${100 * share}%`;
        $("scores").append(element("li", {}, element("span", {}, name), element("span", { className: "track" }, fill), element("span", {}, `${(100 * share).toFixed(1)} %`)));
      });
  }
  const bytes = result.online_bytes;
  const rows = [
    ["learned", result.reveal],
    ["online", `${ms(result.online_ms)} ms, ${result.online_rounds} rounds`],
    ["to the server", `${count(bytes.client_to_server)} bytes`],
    ["to the client", `${count(bytes.server_to_client)} bytes`],
    ["prepared before", `${ms(result.offline_ms)} ms, ${(result.offline_bytes / 1e6).toFixed(1)} MB`],
    ["ReLUs", count(result.relus)],
  ];
  $("cost").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

async function showLayer() {
  const { run, layers } = shown;
  const index = Number($("layer").value);
  const layer = layers[index];
  const relus = layer.relus ? `, ${count(layer.relus)} ReLUs` : "";
  $("layer-name").textContent = `${index + 1} of ${layers.length}: ${layer.name} (${layer.kind}${relus})`;
  $("layer").setAttribute("aria-valuetext", $("layer-name").textContent);
  const view = await get(`/api/runs/${run}/layers/${layer.name}`);
  if (shown.run !== run || Number($("layer").value) !== index) return; // the slider went on
  for (const party of ["server", "client"]) {
    drawMosaic($(`share-${party}`), view[party]);
    verdict($(`share-${party}-test`), view[party].test, "Its bytes:");
  }
  (view.value.shape[0] === 3 ? drawPicture : drawMosaic)($("share-value"), view.value);
  $("share-value-text").textContent = `From ${view.value.least.toFixed(2)} (dark) to ${view.value.largest.toFixed(2)} (light).`;
  $("layers").dataset.drawn = layer.name;
}

async function showLayers(run) {
  const { layers } = await get(`/api/runs/${run}/layers`);
  shown = { run, layers };
  $("layer").max = layers.length - 1;
  $("layer").value = 0;
  $("layers").hidden = false;
  await showLayer();
}

async function show({ run, result }) {
  showResult(result);
  await showPicture(run);
  await showLayers(run);
}

function lane(title) {
  const [text, fill] = [element("span", {}, ""), element("span", { className: "fill" })];
  $("lanes").append(element("div", { className: "lane" }, element("p", {}, element("strong", {}, title), text), element("div", { className: "track" }, fill)));
  return { text, fill };
}

async function race() {
  $("races").hidden = false;
  $("lanes").replaceChildren();
  const lanes = { full: lane("all ReLUs"), half: lane("half of them") };
  const found = {};
  for (const relus of ["full", "half"]) {
    lanes[relus].text.textContent = "preparing ...";
    found[relus] = await runOnce(relus, (event) => {
      if (event.event === "prepared") lanes[relus].text.textContent = "online ...";
    });
    const most = Math.max(...Object.values(found).map((one) => one.result.online_ms));
    for (const [name, { result }] of Object.entries(found)) {
      lanes[name].fill.style.width = `${(100 * result.online_ms) / most}%`;
      const sent = (result.online_bytes.client_to_server + result.online_bytes.server_to_client) / 1e6;
      lanes[name].text.textContent = `${count(result.relus)} ReLUs: ${result.predictions[0].label}, ${ms(result.online_ms)} ms online, ${sent.toFixed(2)} MB; prepared in ${ms(result.offline_ms)} ms`;
    }
    if (relus === "full") await show(found.full);
  }
}

async function guarded(work) {
  if ($("run").getAttribute("aria-disabled") === "true") return;
  busy(true);
  try {
    await work();
  } catch (error) {
    fail(error);
  } finally {
    busy(false);
  }
}

async function begin() {
  about = await get("/api/about");
  for (const name of ["backend", "link", "reveal"]) makeSwitch(name, about.switches[name]);
  makeSamples(about.samples);
  const [all, half] = [about.network.accuracy, about.network.half].map((share) => `${(100 * share).toFixed(1)} %`);
  $("race-hint").textContent = `One after the other, so that neither slows the other. On CIFAR-10 ${half} are right with half of the ReLUs (in float32), ${all} with all of them: pi-train reduce took them out and trained on, as it made the first network from one of ${count(about.network.relus_before)} ReLUs.`;
  $("file").addEventListener("change", () => $("file").files[0] && take($("file").files[0], $("file").files[0].name));
  for (const [type, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", over);
    });
  }
  document.addEventListener("drop", (event) => event.dataTransfer.files[0] && take(event.dataTransfer.files[0], event.dataTransfer.files[0].name));
  $("choice").addEventListener("submit", (event) => {
    event.preventDefault();
    guarded(async () => show(await runOnce("full")));
  });
  $("race").addEventListener("click", () => guarded(race));
  $("layer").addEventListener("input", () => showLayer().catch(fail));
}

begin().catch(fail);
