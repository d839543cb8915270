// profile_flame.js -- the tree of what was chosen, and its picture.  It stands
// behind profile.js in the same script.

// --- the tree ------------------------------------------------------------------

// of[0] is now and of[1] then; self is the part that no kid has.
const node = (at, up) => ({ at, up, kids: new Map(), list: [], width: 0,
  of: [{ bytes: 0, blocks: 0 }, { bytes: 0, blocks: 0 }], self: [0, 0] });

function step(from, at) {
  let kid = from.kids.get(at);
  if (kid === undefined) { from.kids.set(at, kid = node(at, from)); }
  return kid;
}

function grow(root, profile, moment) {
  const bytes = column("bytes"), blocks = column("blocks");
  const { lines, functions } = profile.places, names = chosen.by === "lines" ? lines : functions;
  for (const stack of stacksOf(profile)) {
    const path = [root];
    if (chosen.interp !== TOGETHER) { path.push(step(root, place(profile.interps[stack[0]], "", -1))); }
    for (let i = stack.length - 1; i >= FRAMES; i--) {
      path.push(step(path[path.length - 1], names[stack[i]]));
    }
    for (const passed of path) {
      passed.of[moment].bytes += stack[bytes];
      passed.of[moment].blocks += stack[blocks];
    }
    path[path.length - 1].self[moment] += stack[column(chosen.unit)];
  }
}

// A box is as wide as what is its own and its kids are.  Of a difference that is
// what has changed, in either way, or the larger one of both sizes.
function measure(from) {
  const [now, then] = from.self;
  from.width = !isDifference() ? now : chosen.width === "changes" ? Math.abs(now - then)
    : Math.max(now, then);
  for (const kid of from.kids.values()) { measure(kid); from.width += kid.width; }
  from.list = [...from.kids.values()].filter(kid => kid.width > 0).sort((a, b) => b.width - a.width);
}

const change = of => of.of[0][chosen.unit] - of.of[1][chosen.unit];

function plant() {
  let root = node(place("all", "", -1), null);
  moments.forEach((profile, moment) => grow(root, profile, moment));
  measure(root);
  if (chosen.interp !== TOGETHER && root.kids.size === 1) { root = [...root.kids.values()][0]; root.up = null; }
  return root;
}

// A zoom is the way from the root, as places among the kids.
function follow(root) {
  let at = root;
  for (const i of chosen.zoom === "" ? [] : chosen.zoom.split(".")) { at = at.list[Number(i)] ?? at; }
  return at;
}

function wayTo(to) {
  const way = [];
  for (; to.up !== null; to = to.up) { way.unshift(to.up.list.indexOf(to)); }
  return way.join(".");
}

// --- the flame graph -------------------------------------------------------------

const ROW = 20, GAP = 0.7, NARROWEST = 1; // pixels
let root, zoomed, sums, planted = null;
const boxes = new WeakMap(); // element -> node

const ruler = document.createElement("canvas").getContext("2d");

function fit(text, width) {
  const length = s => ruler.measureText(s).width;
  if (length(text) <= width) { return text; }
  const signs = [...text];
  let count = Math.min(signs.length, Math.floor(width / length("m")) - 1);
  while (count > 1 && length(signs.slice(0, count).join("") + "\u2026") > width) { count--; }
  return count < 2 ? "" : signs.slice(0, count).join("") + "\u2026";
}

const title = at => chosen.by === "lines" && at.file !== "" ? `${at.name} (${at.base})` : at.name;

function box(of, x, depth, width, extra, most) {
  const at = places[of.at], delta = change(of);
  const kind = !isDifference() ? at.kind : delta > 0 ? "grown" : delta < 0 ? "shrunk" : "none";
  const hit = chosen.search !== "" && at.search.includes(chosen.search.toLowerCase());
  const group = svg("g", { class: `${kind}${extra}${hit ? " hit" : ""}` });
  const tint = !isDifference() ? at.tint : 100 * Math.sqrt(Math.abs(delta) / most);
  group.style.setProperty("--t", `${tint}%`);
  group.append(svg("rect", { x: x.toFixed(2), y: depth * ROW, height: ROW - 1,
    width: (width - (width > 3 ? GAP : 0)).toFixed(2), rx: Math.min(2, width / 4) }));
  const name = width > 22 ? fit(title(at), width - 9) : "";
  if (name !== "") {
    const text = svg("text", { x: (x + 5).toFixed(2), y: depth * ROW + 14 });
    text.textContent = name;
    group.append(text);
  }
  boxes.set(group, of);
  return group;
}

// Draws what lies below; returns how many rows that takes.
function layOut(of, x, depth, width, most, into) {
  let rows = depth + 1;
  into.append(box(of, x, depth, width, "", most));
  for (const kid of of.list) {
    const share = width * kid.width / of.width;
    if (share < NARROWEST) { break; } // the widest come first
    rows = Math.max(rows, layOut(kid, x, depth + 1, share, most, into));
    x += share;
  }
  return rows;
}

const greatest = of => of.list.reduce((most, kid) => Math.max(most, greatest(kid)), Math.abs(change(of)));

function drawFlame() {
  const flame = byId("flame"), into = document.createDocumentFragment();
  const width = flame.getBoundingClientRect().width, above = [];
  ruler.font = getComputedStyle(flame).font;
  for (let up = zoomed.up; up !== null; up = up.up) { above.unshift(up); }
  const most = isDifference() ? greatest(zoomed) || 1 : 1;
  above.forEach((up, depth) => into.append(box(up, 0, depth, width, " above", most)));
  const rows = root.width === 0 ? 0 : layOut(zoomed, 0, above.length, width, most, into);
  flame.replaceChildren(into);
  flame.setAttribute("height", rows * ROW);
  flame.classList.toggle("searching", chosen.search !== "");
  byId("nothing").hidden = rows !== 0;
  if (flame.getBoundingClientRect().width < width) { drawFlame(); } // a scroll bar came
}

// What the outermost boxes have whose names match.
function matched(of) {
  if (places[of.at].search.includes(chosen.search.toLowerCase())) { return of.of[0][chosen.unit]; }
  return of.list.reduce((sum, kid) => sum + matched(kid), 0);
}

function drawUnder() {
  const whole = root.of[0][chosen.unit];
  const keys = isDifference() ? [["grown", "--more"], ["shrunk", "--less"], ["as before", "--same"]]
    : [["program", "--own"], ["installed packages", "--package"], ["standard library", "--library"]];
  const line = keys.map(([text, color]) => {
    const key = make("span", { className: "key" }, text);
    key.style.setProperty("--key", `var(${color})`);
    return key;
  });
  const found = chosen.search === "" ? "" : `${amount(matched(root), chosen.unit)} matched, ` +
    `${percent(matched(root), whole) || "0 %"} of ${amount(whole, chosen.unit)}`;
  const hint = isDifference() && chosen.width === "changes" ? "a box is as wide as what changed in it"
    : "click a box to zoom, / to search, Escape to go back";
  byId("under").replaceChildren(...line, make("span", {}, found || hint));
  if (zoomed !== root) {
    byId("under").append(make("button", { className: "plain", onclick: () => choose({ zoom: "" }) }, "Reset zoom"));
  }
}

function drawTip(of, event) {
  const at = places[of.at], tip = byId("tip"), rows = make("dl");
  const row = (name, text, className = "") => rows.append(make("dt", {}, name),
    make("dd", { className }, text));
  const figure = of => `${size(of.bytes)} (${exact(of.bytes)} bytes), ${exact(of.blocks)} ` +
    `block${of.blocks === 1 ? "" : "s"}`;
  row(isDifference() ? "now" : chosen.metric === "live" ? "live" : "allocated", figure(of.of[0]));
  if (isDifference()) {
    row("before", figure(of.of[1]));
    const bytes = of.of[0].bytes - of.of[1].bytes, blocks = of.of[0].blocks - of.of[1].blocks;
    row("change", `${signed(bytes, "bytes")}, ${signed(blocks, "blocks")} blocks`, sense(change(of)));
  } else {
    row("share", `${percent(of.of[0][chosen.unit], root.of[0][chosen.unit])} of all` +
      (zoomed === root ? "" : `, ${percent(of.of[0][chosen.unit], zoomed.of[0][chosen.unit])} of view`));
  }
  tip.replaceChildren(make("b", {}, at.name), make("span", {}, at.where), rows);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
}
