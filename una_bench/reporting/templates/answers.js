// Leafs through prompts with the answers of all methods. One prompt is drawn at a time, and every text of a model is
// set as text: nothing that a model wrote becomes HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const WORDS = { win: "won", tie: "tied", loss: "lost", split: "the order decided", unread: "unreadable" };

function kindOf(answer) {
  if (answer.same) return "tie";
  const values = answer.r.filter((reply) => reply[0]);
  if (!values.length) return "";
  if (answer.w === undefined) return "unread";
  if (answer.w === 1) return "win";
  if (answer.w === 0) return "loss";
  return values.every((reply) => reply[1] === "tie") ? "tie" : "split";
}

for (const prompt of data.prompts) {
  for (const answer of prompt.answers) answer.kind = kindOf(answer);
  prompt.text = [prompt.prompt, prompt.baseline || "", ...prompt.answers.flatMap((a) => [a.t, ...a.r.map((r) => r[2])])]
    .join("\n").toLowerCase();
}
data.methods.forEach((name, number) => by("method").add(new Option(name, number)));
let matching = data.prompts, place = 0;

function matches(prompt) {
  const words = by("search").value.trim().toLowerCase();
  if (words && !prompt.text.includes(words)) return false;
  const method = by("method").value, verdict = by("verdict").value;
  const least = by("least").value, most = by("most").value;
  if (!method && !verdict && !least && !most) return true;
  return prompt.answers.some((answer) =>
    (method === "" || answer.m === Number(method)) && (!verdict || answer.kind === verdict) &&
    (least === "" || answer.t.length >= Number(least)) && (most === "" || answer.t.length <= Number(most)));
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function marked(text) {
  const words = by("search").value.trim().toLowerCase(), pre = element("pre");
  const lower = text.toLowerCase();
  if (!words || lower.length !== text.length) { pre.textContent = text || "(empty)"; return pre; }
  let from = 0;
  for (let at = lower.indexOf(words); at >= 0; at = lower.indexOf(words, from)) {
    pre.append(text.slice(from, at), element("mark", text.slice(at, at + words.length)));
    from = at + words.length;
  }
  pre.append(text.slice(from) || (from ? "" : "(empty)"));
  return pre;
}

function card(title, text, verdict, kind, replies) {
  const article = element("article", undefined, kind === "baseline" ? "baseline" : ""), head = element("h3");
  article.tabIndex = 0;
  head.append(element("span", title));
  if (verdict) head.append(element("span", verdict, `verdict ${kind}`));
  article.append(head, marked(text), element("p", `${text.length} characters`, "facts"));
  if (replies.length) {
    const details = element("details");
    details.append(element("summary", "The judge's words"));
    for (const [where, value, reply] of replies) {
      details.append(element("p", [where && `shown ${where}`, value === "None" ? "unreadable" : value].filter(Boolean).join(": "), "facts"));
      details.append(marked(reply));
    }
    article.append(details);
  }
  return article;
}

function draw() {
  const shown = by("shown"), prompt = matching[place];
  shown.replaceChildren();
  by("place").textContent = prompt ? `${place + 1} of ${matching.length}` : "No prompt matches";
  by("previous").disabled = place <= 0;
  by("next").disabled = place >= matching.length - 1;
  if (!prompt) return;
  shown.append(element("h2", `Prompt ${prompt.id}` + (prompt.category ? ` · ${prompt.category}` : "")), marked(prompt.prompt));
  const answers = element("div", undefined, "answers");
  if (prompt.baseline !== undefined) answers.append(card(`Baseline: ${data.baseline}`, prompt.baseline, "", "baseline", []));
  const only = by("method").value;
  for (const answer of prompt.answers) {
    if (only !== "" && answer.m !== Number(only)) continue;
    const grade = answer.g === undefined ? "" : `grade ${Number(answer.g.toFixed(2))}`;
    const verdict = [answer.same ? "equal to the baseline" : WORDS[answer.kind] || "", grade].filter(Boolean).join(", ");
    answers.append(card(data.methods[answer.m], answer.t, verdict, answer.kind, answer.r));
  }
  shown.append(answers);
  history.replaceState(null, "", `#${encodeURIComponent(`${prompt.set}:${prompt.id}`)}`);
}

function leaf(to) {
  place = Math.max(0, Math.min(matching.length - 1, to));
  draw();
}

function filter() {
  const before = matching[place];
  matching = data.prompts.filter(matches);
  place = Math.max(0, matching.indexOf(before));
  draw();
}

by("filters").addEventListener("input", filter);
by("filters").addEventListener("submit", (event) => event.preventDefault());
by("previous").addEventListener("click", () => leaf(place - 1));
by("next").addEventListener("click", () => leaf(place + 1));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target.blur) event.target.blur();
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const to = { ArrowLeft: place - 1, k: place - 1, ArrowRight: place + 1, j: place + 1, Home: 0, End: matching.length - 1 };
  if (event.key === "/") { event.preventDefault(); by("search").focus(); } else if (event.key in to) { event.preventDefault(); leaf(to[event.key]); }
});
const wanted = decodeURIComponent(location.hash.slice(1));
place = Math.max(0, data.prompts.findIndex((prompt) => `${prompt.set}:${prompt.id}` === wanted));
draw();
