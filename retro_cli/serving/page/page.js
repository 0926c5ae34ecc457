// The page of `retro serve`. Whatever comes from the database reaches the page as text, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const PAGES = ["search", "ask", "write", "sources"];
let token = sessionStorage.getItem("retro-token") || "";

// -- elements and requests ---------------------------------------------------------------------

function el(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") made.className = value;
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function call(path, body, signal) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const asked = body === undefined ? { headers } : {
    method: "POST", body: JSON.stringify(body),
    headers: { ...headers, "Content-Type": "application/json" },
  };
  const answer = await fetch(path, { ...asked, signal });
  if (answer.ok) return answer;
  const { error, hint } = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (answer.status === 401) $("key").hidden = false;
  throw new Error(hint ? `${error} (${hint})` : error);
}

const value = async (path, body) => (await call(path, body)).json();

// Runs a form's work: one at a time, and what fails is said.
function onSubmit(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    $("failure").hidden = true;
    try { await work(); } catch (error) { fail(error); } finally { button.disabled = false; }
  });
}

function fail(error) {
  if (error.name === "AbortError") return;
  $("failure").textContent = error.message;
  $("failure").hidden = false;
}

const names = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);
const number = (id) => ($(id).value === "" ? null : Number($(id).value));
const given = (body) => Object.fromEntries(Object.entries(body).filter(([, v]) =>
  v !== null && v !== "" && !(Array.isArray(v) && !v.length)));
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// -- search ------------------------------------------------------------------------------------

async function search() {
  const text = $("text").value;
  const body = given({ text, k: number("k"), retriever: $("retriever").value, explain: true,
    source: names($("source").value), where: $("where").value,
    per_document: number("per-document") });
  const begun = performance.now();
  let found;
  try { found = await value("v1/query", body); } catch (error) {
    if (!/lexical index/.test(error.message) || body.retriever !== "hybrid") throw error;
    found = await value("v1/query", { ...body, retriever: "dense" });
  }
  const took = Math.round(performance.now() - begun);
  show_generation(found.generation);
  $("search-state").textContent = `${plural(found.hits.length, "hit")} in ${took} ms, by ${found.metric}`;
  const words = content_words(text);
  $("hits").replaceChildren(...found.hits.map((hit) => hit_item(hit, words, found)));
  history.replaceState(null, "", `#search?${new URLSearchParams({ q: text })}`);
}

const STOP = new Set("the and for are was were that this with from what which who whom how why when where does did has have had not but into than then its his her their they you your our".split(" "));

function content_words(text) {
  const found = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) || [];
  return new Set(found.filter((word) => word.length > 2 && !STOP.has(word)));
}

// The text with the query's words marked: pieces of text and <mark>, built one by one.
function marked(text, words) {
  return text.split(/([\p{L}\p{N}]+)/u).map((piece, place) =>
    place % 2 && words.has(piece.toLowerCase()) ? el("mark", null, piece) : piece);
}

function place_of(hit) {
  const name = hit.title || hit.document;
  const source = hit.source === name ? "" : `${hit.source}, `;
  return `${source}chunk ${hit.chunk}, characters ${hit.start}-${hit.end}`;
}

function hit_item(hit, words, found) {
  const around = el("div");
  const item = el("li", { tabIndex: -1 },
    el("div", { class: "head" }, el("h3", null, hit.title || hit.document),
      el("span", { class: "score" }, hit.score.toFixed(found.metric === "rrf" ? 4 : 3))),
    el("p", { class: "place" }, place_of(hit)),
    el("p", { class: "said" }, ...marked(hit.text, words),
      el("span", { class: "more" }, ...marked(hit.continuation, words))),
    hit.also.length ? el("p", { class: "place" },
      `the same text also in: ${hit.also.map((one) => one.source).join(", ")}`) : null,
    el("details", null, el("summary", null, "Why it matched"), ...why(hit, words, found)),
    el("details", { ontoggle: (event) => open_document(event.target, hit, around) },
      el("summary", null, "In its document, and what is near"), around));
  return item;
}

function why(hit, words, found) {
  const has = new Set((hit.text.toLowerCase().match(/[\p{L}\p{N}]+/gu) || []));
  const shared = [...words].filter((word) => has.has(word));
  const parts = hit.parts || [{ name: found.metric, rank: hit.rank, score: hit.score }];
  return [
    el("p", { class: "place" }, parts.map((part) =>
      `${part.name}: place ${part.rank}, score ${part.score.toFixed(3)}`).join("; ")),
    el("p", { class: "place" }, shared.length ? `words in common: ${shared.join(", ")}`
      : "no word in common: found by meaning"),
  ];
}

async function open_document(details, hit, around) {
  if (!details.open || around.childNodes.length) return;
  try {
    const [shown, near] = await Promise.all([
      value(`v1/chunks/${hit.chunk}?context=3`), value(`v1/chunks/${hit.chunk}/neighbours?k=3`)]);
    around.append(
      ...shown.around.map((chunk) => el("p", { class: chunk.chunk === hit.chunk ? "said" : "said more" },
        chunk.text === null ? "(kept out by a rule)" : chunk.text)),
      el("p", { class: "place" }, near.hits.length ? "Nearest in other documents:" : "Nothing is near."),
      ...near.hits.map((one) => el("p", { class: "said more" },
        `${one.score.toFixed(3)}  ${one.title || one.document}: ${one.text}`)));
  } catch (error) { fail(error); }
}

// -- ask ---------------------------------------------------------------------------------------

async function ask() {
  $("answer").replaceChildren(el("p", { class: "soft" }, "reading ..."));
  const body = given({ question: $("question").value, reader: $("answerer").value });
  try {
    const reply = await value("v1/ask", body);
    show_generation(reply.generation);
    const cited = reply.citations.map((one) => el("li", null,
      el("p", { class: "place" }, `[${one.number}] ${one.title || one.document || "no such passage"}`),
      el("p", { class: "said" }, one.verbatim ? `“${one.quote}”` : `not in the source: ${one.quote}`)));
    $("answer").replaceChildren(
      el("p", { class: "said" }, el("strong", null, reply.found ? reply.answer : "The sources do not say.")),
      el("ol", null, ...cited));
  } catch (error) { $("answer").replaceChildren(); throw error; }
}

// -- generate, with the map of what was read ---------------------------------------------------

let running = null;

async function write() {
  const body = given({ prompt: $("prompt").value, reader: $("reader").value,
    max_tokens: number("tokens"), k: number("write-k") });
  const map = new HeatMap();
  $("written").replaceChildren(el("span", { class: "given" }, body.prompt));
  $("write-state").textContent = "opening the model ...";
  running = new AbortController();
  $("stop").disabled = false;
  let count = 0;
  try {
    const answer = await call("v1/generate", body, running.signal);
    for await (const said of lines(answer.body)) {
      if (said.event === "error") throw new Error(said.hint ? `${said.error} (${said.hint})` : said.error);
      if (said.event === "note") $("write-state").textContent = said.note;
      if (said.event === "token") {
        count += 1;
        $("written").append(said.text);
        $("write-state").textContent = plural(count, "token");
        map.add(said);
      }
      if (said.event === "end") {
        show_generation(said.generation);
        $("write-state").textContent =
          `${plural(count, "token")}, ${said.tokens_per_second.toFixed(1)} a second`;
      }
    }
  } finally {
    if (!count) $("write-state").textContent = "";
    running = null;
    $("stop").disabled = true;
  }
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value: piece, done } = await reader.read();
    if (done) return;
    const whole = (rest + piece).split("\n");
    rest = whole.pop();
    for (const line of whole) yield JSON.parse(line);
  }
}

// Chunks by tokens: each cell is the chunk's posterior, or its share of the attention.
class HeatMap {
  constructor() {
    this.rows = new Map();
    this.head = $("map").querySelector("thead tr");
    this.body = $("map").querySelector("tbody");
    this.head.replaceChildren(el("th", { scope: "col" }, "chunk"));
    this.body.replaceChildren();
    $("read").replaceChildren();
    $("map").hidden = true;
    this.columns = 0;
  }

  add(said) {
    const chance = said.logprob === null ? "" : `: p = ${Math.exp(said.logprob).toFixed(3)}`;
    this.head.append(el("th", { scope: "col", title: `${JSON.stringify(said.text)}${chance}` },
      el("span", null, said.text.trim() || "·")));
    for (const read of said.neighbours) this.row(read);
    for (const [chunk, row] of this.rows) {
      const read = said.neighbours.find((one) => one.chunk === chunk);
      row.append(this.cell(read, said.text));
    }
    this.columns += 1;
    $("map").hidden = !this.rows.size;
  }

  row(read) {
    if (this.rows.has(read.chunk)) return;
    const place = this.rows.size + 1;
    const name = read.title || read.document;
    const row = el("tr", null, el("th", { scope: "row", title: name }, `[${place}]`));
    for (let column = 0; column < this.columns; column += 1) row.append(this.cell(undefined, ""));
    this.rows.set(read.chunk, row);
    this.body.append(row);
    $("read").append(el("li", null,
      el("p", { class: "place" }, `[${place}] ${name}, chunk ${read.chunk}, score ${read.score.toFixed(3)}`),
      el("p", { class: "said more" }, read.text || "")));
  }

  cell(read, text) {
    if (!read) return el("td", { class: "none" });
    if (read.mass === null) return el("td", { title: "share not recorded" }, "+");
    const percent = Math.round(100 * read.mass);
    const cell = el("td", { class: read.mass >= 0.6 ? "high" : "",
      title: `${JSON.stringify(text)}: ${percent} %` }, String(percent));
    cell.style.setProperty("--p", read.mass.toFixed(3));
    return cell;
  }
}

// -- sources and rules -------------------------------------------------------------------------

async function open_sources() {
  const { tables } = await value("v1/scores");
  const chosen = $("scores").value || tables[0] || "";
  $("scores").replaceChildren(el("option", { value: "" }, "none"),
    ...tables.map((name) => el("option", { value: name }, name)));
  $("scores").value = chosen;
  await Promise.all([sources(), rules()]);
}

async function sources() {
  const query = new URLSearchParams(given({ scores: $("scores").value, threshold: $("threshold").value }));
  const found = await value(`v1/sources?${query}`);
  const scored = found.scores !== null;
  const heads = ["source", "documents", "chunks", "kept out"]
    .concat(scored ? ["mean", "95 %", "highest", `over ${found.threshold}`] : []);
  $("table").tHead.replaceChildren(el("tr", null, ...heads.map((head) => el("th", { scope: "col" }, head))));
  $("table").tBodies[0].replaceChildren(...found.sources.map((one) => source_row(one, scored)));
  histogram(found);
}

function source_row(one, scored) {
  const cells = [one.documents, one.chunks, one.excluded || ""].map((count) =>
    el("td", null, count.toLocaleString("en")));
  const figures = scored ? [one.mean, one.p95, one.highest].map((score) =>
    el("td", null, score.toFixed(2))).concat(el("td", null, `${Math.round(100 * one.over)} %`)) : [];
  const name = el("th", { scope: "row" }, one.source);
  return el("tr", { class: scored && one.over >= 0.5 ? "over" : "" }, name, ...cells, ...figures);
}

function histogram(found) {
  $("histogram").hidden = found.scores === null;
  if (found.scores === null) return;
  const most = Math.max(...found.histogram, 1);
  const steps = found.histogram.length;
  $("histogram").replaceChildren(...found.histogram.map((count, place) => {
    const bar = el("i", { class: place / steps >= found.threshold ? "over" : "",
      title: `${plural(count, "chunk")} from ${(place / steps).toFixed(2)} to ${((place + 1) / steps).toFixed(2)}` });
    bar.style.setProperty("--h", (Math.log1p(count) / Math.log1p(most)).toFixed(3));
    return bar;
  }));
  const over = found.sources.reduce((sum, one) => sum + Math.round(one.over * one.chunks), 0);
  $("histogram").setAttribute("aria-label",
    `Chunks by score, on a logarithmic scale; ${plural(over, "chunk")} at ${found.threshold} or above`);
}

const rule = () => given({ source: names($("rule-source").value), document: names($("rule-document").value),
  min_toxicity: number("rule-least"), level: $("rule-level").value, where: $("rule-where").value,
  match: $("rule-match").value, reason: $("rule-reason").value,
  scores: $("scores").value || null });

async function preview() {
  const found = await value("v1/filters/preview", rule());
  $("reach").replaceChildren(
    el("p", null, `Would take ${plural(found.chunks, "chunk")} of ${found.chunks_before.toLocaleString("en")}, ` +
      `${plural(found.documents, "document")} and ${plural(found.sources, "source")} whole: ${found.says}`),
    ...found.examples.map((one) => el("p", { class: "said more" }, `${one.source}: ${one.text}`)));
  $("enforce").disabled = false;
}

async function enforce() {
  $("failure").hidden = true;
  try {
    const done = await value("v1/filters", rule());
    $("reach").replaceChildren(el("p", null, `Rule ${done.rule.number} is in force; it takes ${plural(done.chunks, "chunk")}.`));
    $("enforce").disabled = true;
    await open_sources();
  } catch (error) { fail(error); }
}

async function rules() {
  const found = await value("v1/filters");
  $("rules").replaceChildren(...found.rules.map((one) => el("li", null,
    el("p", { class: "said" }, `${one.number}. ${one.says}`),
    el("p", { class: "place" }, `${one.state}, since ${one.created}: ${one.reason}`),
    one.state === "active" ? el("button", { type: "button", onclick: () => undo(one.number) }, "Undo") : null)));
}

async function undo(place) {
  try { await value(`v1/filters/${place}/undo`, {}); await open_sources(); } catch (error) { fail(error); }
}

// -- the page itself ---------------------------------------------------------------------------

function show_generation(place) { $("generation").textContent = `generation ${place}`; }

function turn() {
  const [name, query] = location.hash.slice(1).split("?");
  const page = PAGES.includes(name) ? name : "search";
  for (const each of PAGES) $(each).hidden = each !== page;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${page}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  $("failure").hidden = true;
  if (page === "sources") open_sources().catch(fail);
  const asked = new URLSearchParams(query || "").get("q");
  if (page === "search" && asked && asked !== $("text").value) {
    $("text").value = asked;
    search().catch(fail);
  }
}

function keys(event) {
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    location.hash = "search";
    turn();
    $("text").focus();
    $("text").select();
  }
  if (!["ArrowDown", "ArrowUp"].includes(event.key) || $("search").hidden) return;
  if (typing && event.target !== $("text")) return;
  const items = [...$("hits").children];
  const at = items.indexOf(event.target.closest("#hits > li"));
  const next = at + (event.key === "ArrowDown" ? 1 : -1);
  if (next >= items.length || (at < 0 && next < 0)) return;
  event.preventDefault();
  (next < 0 ? $("text") : items[next]).focus();
}

onSubmit($("search-form"), search);
onSubmit($("ask-form"), ask);
onSubmit($("write-form"), write);
onSubmit($("sources-form"), sources);
onSubmit($("rule-form"), preview);
onSubmit($("key"), async () => {
  token = $("token").value;
  sessionStorage.setItem("retro-token", token);
  $("key").hidden = true;
  turn();
});
$("rule-form").addEventListener("input", () => { $("enforce").disabled = true; });
$("enforce").addEventListener("click", enforce);
$("stop").addEventListener("click", () => { if (running) running.abort(); });
addEventListener("hashchange", turn);
addEventListener("keydown", keys);
turn();
