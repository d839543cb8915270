// profile.js -- the program of the page that shows a profile.
//
// Names come from programs and may be hostile: they become text nodes only, never
// markup.  What is chosen stands behind the # of the address, so a view survives a
// reload and can be handed on.

"use strict";

// --- small things ------------------------------------------------------------

const byId = id => document.getElementById(id);

// An element with properties and children; strings become text.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) { element.setAttribute(name, value); }
  return element;
}

// What would not be seen, or would turn the text around, is shown as its number.
const clean = text => text.replace(/[\0-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
  c => `<U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);

const exact = n => n.toLocaleString("en-US");

function size(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  for (; Math.abs(n) >= 1000 && unit < units.length - 1; n /= 1024) { unit++; }
  const digits = unit === 0 || Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : 2;
  return `${n.toFixed(digits)} ${units[unit]}`;
}

const amount = (n, unit) => unit === "bytes" ? size(n) : exact(n);
const signed = (n, unit) => n === 0 ? "0" : (n > 0 ? "+" : "\u2212") + amount(Math.abs(n), unit);
const percent = (n, of) => of === 0 ? "" : `${(100 * n / of).toFixed(Math.abs(n) < of / 10 ? 2 : 1)} %`;
const sense = n => n > 0 ? "more" : n < 0 ? "less" : "";

// --- the data ----------------------------------------------------------------

// A place is a frame of either profile, an interpreter, or all: what a box or a
// row is called.  One key is one place, so that two profiles can be compared.
const places = [], placeOf = new Map();

function kindOf(file) {
  if (/[\\/](site|dist)-packages[\\/]/.test(file)) { return "package"; }
  if (/^<frozen|[\\/]lib(64)?[\\/]python3[^\\/]*[\\/]/i.test(file)) { return "library"; }
  return file === "" ? "none" : "own";
}

function place(name, file, line) {
  const key = JSON.stringify([name, file, line]);
  let found = placeOf.get(key);
  if (found === undefined) {
    let hash = 0;
    for (const c of file) { hash = (hash * 31 + c.codePointAt(0)) % 1009; }
    const parts = file.split(/[\\/]/), short = parts.slice(-2).join("/");
    const at = line > 0 ? `:${line}` : "";
    found = places.push({ name, file, where: file + at, kind: kindOf(file), tint: hash % 101, base: parts.pop() + at,
      short: short === "" ? "" : (short === file ? "" : "\u2026/") + short + at,
      search: `${name} ${file}${at}`.toLowerCase() }) - 1;
    placeOf.set(key, found);
  }
  return found;
}

function load(profile) {
  if (profile === null) { return null; }
  const strings = profile.strings.map(clean), frames = profile.frames;
  profile.places = { lines: [], functions: [] };
  for (let i = 0; i < frames.length; i += 3) {
    const name = strings[frames[i + 1]] || "?", file = strings[frames[i]];
    profile.places.lines.push(place(name, file, frames[i + 2]));
    profile.places.functions.push(place(name, file, 0));
  }
  profile.interps = profile.interps.map(clean);
  return profile;
}

const LIVE_BYTES = 2, LIVE_BLOCKS = 3, TOTAL_BYTES = 4, TOTAL_BLOCKS = 5, FRAMES = 6;
let data, moments; // moments: now, and then if there is one
const isDifference = () => moments.length > 1;

// --- what is chosen ------------------------------------------------------------

const chosen = { metric: "live", unit: "bytes", by: "functions", width: "changes", interp: "",
  domain: "", search: "", zoom: "", sort: "self", order: "down" };
const usual = { ...chosen };
// All interpreters without a box of their own; none is called so.
const TOGETHER = "together";

function readAddress() {
  const query = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(chosen)) { chosen[name] = query.get(name) ?? usual[name]; }
}

function choose(changes) {
  Object.assign(chosen, changes);
  const query = new URLSearchParams(
    Object.entries(chosen).filter(([name, value]) => value !== usual[name]));
  history.replaceState(null, "", `#${query}`);
  show();
}

// What of the choice the tree and the sums depend on.
const shape = () => ["metric", "unit", "by", "width", "interp", "domain"].map(name => chosen[name]).join("\n");

const column = unit => (chosen.metric === "live" ? LIVE_BYTES : TOTAL_BYTES) + (unit === "blocks");

// The stacks of a profile that the choice of interpreter and domain lets pass.
function* stacksOf(profile) {
  for (const stack of profile.stacks) {
    if ((chosen.interp === "" || chosen.interp === TOGETHER || profile.interps[stack[0]] === chosen.interp) &&
        (chosen.domain === "" || data.domains[stack[1]] === chosen.domain)) { yield stack; }
  }
}

// --- tables ----------------------------------------------------------------------

// Columns: key, title, and how a row's value is shown.  Those of text come first.
function drawTable(table, columns, rows, { sort, order, onSort, onRow, foot, most }) {
  const head = make("tr");
  for (const c of columns) {
    const cell = make("th", { className: c.text ? "text" : "" },
      make("button", { onclick: () => onSort(c) }, c.title));
    if (c.key === sort) { cell.ariaSort = order === "down" ? "descending" : "ascending"; }
    head.append(cell);
  }
  const by = columns.find(c => c.key === sort) ?? columns[0], way = order === "down" ? -1 : 1;
  rows.sort((a, b) => way * (by.text ? (a[by.key] < b[by.key] ? -1 : a[by.key] > b[by.key] ? 1 : 0)
    : by.change ? Math.abs(a[by.key]) - Math.abs(b[by.key]) : a[by.key] - b[by.key]));
  const line = row => {
    const tr = make("tr", onRow ? { onclick: () => onRow(row) } : {});
    for (const c of columns) { tr.append(cellOf(c, row)); }
    return tr;
  };
  table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows.slice(0, most).map(line)));
  if (foot) { table.append(make("tfoot", {}, line(foot))); }
}

function cellOf(c, row) {
  const value = row[c.key];
  if (c.text) {
    return make("td", { className: `text ${c.text}`, title: row[`${c.key}Title`] ?? value }, value);
  }
  if (c.of !== undefined) {
    const mark = make("i");
    mark.style.width = `calc(${c.of === 0 ? 0 : 100 * value / c.of}% - ${c.of === 0 ? 0 : 16 * value / c.of}px)`;
    return make("td", { className: value === 0 ? "share nil" : "share" }, mark,
      make("span", {}, value === 0 ? "0" : percent(value, c.of)));
  }
  return make("td", { title: exact(value), className: value === 0 ? "nil" : c.change ? sense(value) : "" },
    value === 0 ? "0" : c.change ? signed(value, c.unit) : amount(value, c.unit));
}

// Of each line: what it allocated itself, and with what it called, once however
// often a stack passes it.
function linesOf() {
  const rows = new Map(), bytes = column("bytes"), blocks = column("blocks");
  moments.forEach((profile, moment) => {
    const last = new Map(), names = profile.places.lines;
    let turn = 0;
    for (const stack of stacksOf(profile)) {
      turn++;
      for (let i = FRAMES; i < stack.length; i++) {
        const at = names[stack[i]];
        let row = rows.get(at);
        if (row === undefined) {
          rows.set(at, row = { bytes: [0, 0], blocks: [0, 0], allBytes: [0, 0], allBlocks: [0, 0] });
        }
        if (i === FRAMES) {
          row.bytes[moment] += stack[bytes];
          row.blocks[moment] += stack[blocks];
        }
        if (last.get(at) !== turn) {
          last.set(at, turn);
          row.allBytes[moment] += stack[bytes];
          row.allBlocks[moment] += stack[blocks];
        }
      }
    }
  });
  return rows;
}

let mostRows = 25;

function drawLines() {
  const differs = isDifference(), search = chosen.search.toLowerCase(), rows = [];
  const figure = ([now, then]) => differs ? now - then : now;
  for (const [at, row] of sums) {
    const self = chosen.unit === "bytes" ? row.bytes : row.blocks;
    if (!places[at].search.includes(search)) { continue; }
    const out = { where: places[at].short || places[at].name, whereTitle: places[at].where,
      name: places[at].name, self: figure(row.bytes), selfBlocks: figure(row.blocks),
      share: self[0], all: figure(row.allBytes), allBlocks: figure(row.allBlocks),
      then: row.bytes[1], now: row.bytes[0] };
    if (out.self || out.selfBlocks || out.all || out.allBlocks) { rows.push(out); }
  }
  const d = differs ? "\u0394 " : "";
  const columns = [{ key: "where", title: "Line", text: "code" },
    { key: "name", title: "Function", text: "code" },
    { key: "self", title: `${d}Bytes`, unit: "bytes", change: differs },
    { key: "selfBlocks", title: `${d}Blocks`, unit: "blocks", change: differs },
    ...differs ? [{ key: "then", title: "Bytes before", unit: "bytes" },
      { key: "now", title: "Bytes now", unit: "bytes" }]
      : [{ key: "share", title: "Share", of: root.of[0][chosen.unit] }],
    { key: "all", title: `${d}With callees, bytes`, unit: "bytes", change: differs },
    { key: "allBlocks", title: `${d}With callees, blocks`, unit: "blocks", change: differs }];
  const onSort = c => choose({ sort: c.key,
    order: c.key === chosen.sort ? (chosen.order === "down" ? "up" : "down") : c.text ? "up" : "down" });
  drawTable(byId("lines"), columns, rows, { sort: chosen.sort, order: chosen.order, onSort, most: mostRows,
    onRow: row => choose({ search: row.whereTitle || row.name, by: "lines", zoom: "" }) });
  if (rows.length > mostRows) {
    const cell = make("td", { colSpan: columns.length, className: "text" },
      make("button", { className: "plain", onclick: () => { mostRows *= 20; drawLines(); } },
        `${exact(rows.length - mostRows)} more`));
    byId("lines").append(make("tfoot", {}, make("tr", {}, cell)));
  }
  byId("shown").textContent = `${exact(rows.length)} line${rows.length === 1 ? "" : "s"}, ` +
    `${chosen.metric === "live" ? "live" : "allocated since the profile began"}`;
}

const FIGURES = [[LIVE_BYTES, "Live bytes", "bytes"], [LIVE_BLOCKS, "Live blocks", "blocks"],
  [TOTAL_BYTES, "Allocated bytes", "bytes"], [TOTAL_BLOCKS, "Allocated blocks", "blocks"]];
const interpSort = { sort: LIVE_BYTES, order: "down" };

// A row has its figures under their numbers, and what changed under "d" and number.
function drawInterps() {
  const rows = new Map(), foot = { interp: "all", domain: "" };
  const add = (row, key, n) => { row[key] = (row[key] ?? 0) + n; };
  moments.forEach((profile, moment) => {
    for (const stack of profile.stacks) {
      const interp = profile.interps[stack[0]], domain = data.domains[stack[1]];
      const key = JSON.stringify([interp, domain]);
      if (!rows.has(key)) { rows.set(key, { interp, domain }); }
      for (const row of [rows.get(key), foot]) {
        for (const [n] of FIGURES) {
          add(row, n, moment === 0 ? stack[n] : 0);
          add(row, `d${n}`, moment === 0 ? stack[n] : -stack[n]);
        }
      }
    }
  });
  const columns = [{ key: "interp", title: "Interpreter", text: "name" },
    { key: "domain", title: "Domain", text: "name" }];
  for (const [n, title, unit] of FIGURES) {
    add(foot, n, 0); add(foot, `d${n}`, 0);
    columns.push({ key: n, title, unit });
    if (isDifference()) { columns.push({ key: `d${n}`, title: "\u0394", unit, change: true }); }
  }
  drawTable(byId("interps"), columns, [...rows.values()], { ...interpSort, foot, onSort: c => {
    interpSort.order = c.key === interpSort.sort && interpSort.order === "down" ? "up" : "down";
    interpSort.sort = c.key;
    drawInterps();
  } });
}

// --- what does not change ----------------------------------------------------------

function drawHeadline() {
  const { now } = data, name = clean(now.program);
  const time = ns => new Date(ns / 1e6).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  document.title = `Memory ${isDifference() ? "difference" : "profile"} of ${name}`;
  byId("title").textContent = document.title;
  const span = isDifference() ? `from ${time(data.then.ended_ns)} to ${time(now.ended_ns)}`
    : `${time(now.ended_ns)}, ${((now.ended_ns - now.begun_ns) / 1e9).toFixed(1)} s after it began`;
  byId("about").textContent = `process ${now.process} \u00b7 ${span} \u00b7 ${now.period}`;
  const drops = moments.map(profile => profile.drops).filter(text => text !== "");
  byId("drops").textContent = drops.join("; before: ");
  byId("drops").hidden = drops.length === 0;
  for (const [n, title, unit] of FIGURES) {
    const [of, before] = [...moments.map(p => p.stacks.reduce((sum, s) => sum + s[n], 0)), 0];
    const card = make("div", { className: "card", title: `${exact(of)} ${unit}` },
      make("span", {}, title), make("b", {}, amount(of, unit)));
    if (isDifference()) {
      card.append(make("span", { className: sense(of - before) }, `${signed(of - before, unit)} since before`));
    }
    byId("headline").append(card);
  }
}

// Controls are made once; each says what to show of the choice.
const controls = [];

function addSwitch(name, label, options) {
  const group = make("span", { className: "switch", role: "group", ariaLabel: label });
  for (const [value, text] of options) {
    const button = make("button", { onclick: () => choose({ [name]: value, zoom: "" }) }, text);
    controls.push(() => { button.ariaPressed = String(chosen[name] === value); });
    group.append(button);
  }
  byId("bar").append(group);
}

function addSelect(name, options, first) {
  if (options.length < 2) { return; }
  const select = make("select", { ariaLabel: name, onchange: () => choose({ [name]: select.value, zoom: "" }) },
    ...first.map(([value, text]) => new Option(text, value)), ...options.map(text => new Option(text, text)));
  controls.push(() => { select.value = chosen[name]; });
  byId("bar").append(select);
}

function addControls() {
  addSwitch("metric", "what counts", [["live", "Live"], ["total", "Allocated"]]);
  addSwitch("unit", "unit", [["bytes", "Bytes"], ["blocks", "Blocks"]]);
  addSwitch("by", "a box is", [["functions", "Functions"], ["lines", "Lines"]]);
  if (isDifference()) { addSwitch("width", "width", [["changes", "Changes"], ["sizes", "Sizes"]]); }
  addSelect("interp", [...new Set(moments.flatMap(p => p.interps))],
    [["", "Each interpreter"], [TOGETHER, "All together"]]);
  addSelect("domain", data.domains, [["", "All domains"]]);
  const search = make("input", { type: "search", id: "search", placeholder: "Search names and files",
    oninput: () => choose({ search: search.value }) });
  controls.push(() => { if (search.value !== chosen.search) { search.value = chosen.search; } });
  byId("bar").append(search);
}

function show() {
  controls.forEach(control => control());
  if (planted !== shape()) {
    root = plant();
    sums = linesOf();
    planted = shape();
  }
  zoomed = follow(root);
  drawFlame();
  drawUnder();
  drawLines();
}

function listen() {
  const flame = byId("flame"), boxAt = event => boxes.get(event.target.closest("g"));
  flame.addEventListener("click", event => {
    const of = boxAt(event);
    if (of) { choose({ zoom: wayTo(of) }); }
  });
  flame.addEventListener("mousemove", event => {
    const of = boxAt(event);
    if (of) { drawTip(of, event); } else { byId("tip").hidden = true; }
  });
  flame.addEventListener("mouseleave", () => { byId("tip").hidden = true; });
  addEventListener("keydown", event => {
    if (event.key === "Escape") { choose({ zoom: "", search: "" }); }
    if (event.key === "/" && event.target !== byId("search")) { byId("search").focus(); event.preventDefault(); }
  });
  addEventListener("hashchange", () => { readAddress(); show(); });
  addEventListener("resize", drawFlame);
}

addEventListener("DOMContentLoaded", () => {
  data = JSON.parse(byId("data").textContent);
  moments = [load(data.now), load(data.then)].filter(profile => profile !== null);
  readAddress();
  drawHeadline();
  addControls();
  listen();
  show();
  drawInterps();
});
