"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const find = (selector, within = document) => within.querySelector(selector);
  const values = Object.fromEntries(Object.entries(data.tensors).map(([name, t]) => [name, [...t.values]]));
  const name = (tensor, at) => data.tensors[tensor].names[at];
  const label = (tensor, at) => data.tensors[tensor].labels[at];
  const shown = (number) => String(Number(number.toFixed(3))).replace("-", "−");
  const factor = (number) => (number < 0 || /e/.test(number) ? `(${shown(number)})` : shown(number));

  // The first element of a window that is its maximum: the one that gets the gradient.
  const winner = (position) => {
    const cells = data.results[data.output].terms[position].map((term) => term[1][1]);
    return cells.reduce((best, at) => (values.X[at] > values.X[best] ? at : best), cells[0]);
  };
  const counts = (term) => !term[2] || winner(term[2][0]) === term[2][1];
  const elements = (term) => {
    const pairs = [];
    for (let at = 0; at < term[1].length; at += 2) pairs.push([term[1][at], term[1][at + 1]]);
    return pairs.map(([tensor, at]) => [data.order[tensor], at]);
  };
  const product = (term) => elements(term).reduce((total, [t, at]) => total * values[t][at], term[0]);

  function compute() {
    for (const [result, { terms, maximum }] of Object.entries(data.results)) {
      values[result] = terms.map((of) => {
        const products = of.filter(counts).map(product);
        return maximum ? Math.max(...products) : products.reduce((a, b) => a + b, 0);
      });
    }
    for (const box of all(".box[data-tensor]")) {
      const known = values[box.dataset.tensor];
      find(".value", box).textContent = known ? shown(known[box.dataset.at]) : "";
    }
  }

  // The terms of a result, in symbols and in numbers.
  function sum(result, at, write, selected) {
    const { terms, maximum } = data.results[result];
    const written = terms[at].map((term) => {
      const size = Math.abs(term[0]) === 1 ? [] : [term[3] || shown(Math.abs(term[0]))];
      const text = [...size, ...elements(term).map(([t, i]) => write(t, i))].join("·");
      return [term[0] < 0 ? " − " : " + ", text + (term[2] ? `·${selected(term)}` : "")];
    });
    if (maximum) return `max(${written.map(([, text]) => text).join(", ")})`;
    const text = written.map((pair) => pair.join("")).join("");
    return text.replace(/^ [+] /, "").replace(/^ − /, "−") || "0";
  }
  const chosen = (term) => `[${name("X", term[2][1])} is selected for ${name(data.output, term[2][0])}]`;
  const symbols = (tensor, at) => `${name(tensor, at)} = ${sum(tensor, at, name, chosen)}`;
  const numbers = (tensor, at) => {
    const write = data.results[tensor].maximum ? shown : factor;
    const written = sum(tensor, at, (t, i) => write(values[t][i]), (term) => (counts(term) ? 1 : 0));
    return `= ${written} = ${shown(values[tensor][at])}`;
  };

  // What an element is made of, and what is made of it.
  function related(tensor, at) {
    const made = new Set(), used = new Set();
    for (const [result, { terms }] of Object.entries(data.results)) {
      terms.forEach((of, place) => {
        for (const term of of) {
          const parts = elements(term).map((part) => part.join(":"));
          if (term[2]) parts.push(`X:${term[2][1]}`);
          if (result === tensor && place === at) parts.forEach((part) => made.add(part));
          else if (parts.includes(`${tensor}:${at}`)) used.add(`${result}:${place}`);
        }
      });
    }
    return { made, used };
  }

  let pinned = null;
  const boxes = all("#elements .box");
  const key = (box) => `${box.dataset.tensor}:${box.dataset.at}`;

  function light(tensor, at) {
    const { made, used } = related(tensor, at);
    for (const box of boxes) {
      box.classList.toggle("chosen", key(box) === `${tensor}:${at}`);
      box.classList.toggle("lit", made.has(key(box)));
      box.classList.toggle("used", used.has(key(box)));
    }
    const known = tensor in data.results;
    find("#symbols").textContent = known ? symbols(tensor, at) : `${name(tensor, at)} = ${shown(values[tensor][at])}`;
    find("#numbers").textContent = known ? numbers(tensor, at) : "";
    const names = [...used].map((part) => { const [t, i] = part.split(/:(?=\d+$)/); return name(t, i); });
    find("#uses").textContent = names.length ? `It is used in ${names.join(", ")}.` : "";
    const edit = find("#edit");
    edit.hidden = known;
    if (!known) {
      find("#edited").textContent = `Value of ${name(tensor, at)}`;
      find("#number").value = values[tensor][at];
      edit.dataset.tensor = tensor;
      edit.dataset.at = at;
    }
  }
  const lightBox = (box) => light(box.dataset.tensor, Number(box.dataset.at));

  for (const box of boxes.filter((each) => each.dataset.tensor)) {
    box.addEventListener("mouseenter", () => pinned || lightBox(box));
    box.addEventListener("focus", () => pinned || lightBox(box));
    box.addEventListener("click", () => pin(box));
  }
  function pin(box) {
    pinned = pinned === box ? null : box;
    boxes.forEach((each) => each.setAttribute("aria-selected", each === pinned));
    lightBox(box);
  }

  // One box of each grid is reached by Tab; arrow keys move on.
  for (const grid of all("svg.grid")) {
    const inside = all(".box", grid);
    if (inside.length) inside[0].tabIndex = 0;
    grid.addEventListener("keydown", (event) => {
      const from = event.target.closest(".box");
      const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (event.key in steps) {
        const [down, across] = steps[event.key];
        const to = inside.find((box) => Number(box.dataset.row) === Number(from.dataset.row) + down
          && Number(box.dataset.column) === Number(from.dataset.column) + across);
        if (to) { from.tabIndex = -1; to.tabIndex = 0; to.focus(); }
        event.preventDefault();
      } else if ((event.key === "Enter" || event.key === " ") && from.dataset.tensor && boxes.includes(from)) {
        pin(from);
        event.preventDefault();
      } else if (event.key === "Escape") {
        pinned = null;
      }
    });
  }

  // A range input that a button steps through.
  function player(range, button, step) {
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; button.textContent = "Play"; button.setAttribute("aria-pressed", "false"); };
    range.addEventListener("input", () => step(Number(range.value)));
    button.addEventListener("click", () => {
      if (timer) return stop();
      button.textContent = "Stop";
      button.setAttribute("aria-pressed", "true");
      timer = setInterval(() => {
        range.value = Number(range.value) === Number(range.max) ? 0 : Number(range.value) + 1;
        step(Number(range.value));
      }, 900);
    });
  }

  let planes = data.planes[0];
  const size = (tensor) => data.tensors[tensor].names.length / data.tensors[tensor].planes;

  function slide(section) {
    const picture = data.pictures[section.dataset.picture];
    const [background, ...rest] = all("svg.grid", section).filter((grid) => !/^p-/.test(grid.id));
    const result = rest.pop(), filter = rest.pop();
    const at = (grid, row, column) => find(`[data-row="${row}"][data-column="${column}"]`, grid);
    const plane = (tensor) => (planes[tensor] ?? 0);

    function relabel(grid) {
      for (const box of all(".box[data-tensor]", grid)) {
        const tensor = box.dataset.tensor;
        if (!(tensor in data.tensors)) continue;
        const within = Number(box.dataset.at) % size(tensor);
        box.dataset.at = plane(tensor) * size(tensor) + within;
        find(".label", box).textContent = data.tensors[tensor].labels[box.dataset.at];
        box.setAttribute("aria-label", name(tensor, box.dataset.at));
        const turned = / rotated .*/.exec(grid.getAttribute("aria-label"));
        const heading = data.tensors[tensor].headings[plane(tensor)] + (turned ? `,${turned[0]}` : "");
        grid.setAttribute("aria-label", heading);
        grid.closest("figure").querySelector("figcaption").textContent = heading;
      }
    }
    function step(position) {
      for (const box of all(".box", section)) { if (!box.closest("[id^='p-']")) box.classList.remove("lit", "chosen"); }
      all(".note", section).forEach((note) => { if (!note.closest("[id^='p-']")) note.textContent = ""; });
      const [row, column] = picture.starts[position];
      const terms = [], inNumbers = [], products = [];
      picture.offsets.forEach(([down, across], tap) => {
        const box = at(background, row + down, column + across);
        box.classList.add("lit");
        const place = filter && plane(picture.filter) * size(picture.filter) + picture.taps[tap];
        if (filter) find(".note", box).textContent = label(picture.filter, place);
        if (!box.dataset.tensor) return;
        const element = [box.dataset.tensor, Number(box.dataset.at)];
        terms.push(filter ? `${label(picture.filter, place)}·${label(...element)}` : label(...element));
        const known = values[element[0]][element[1]];
        products.push(filter ? values[picture.filter][place] * known : known);
        inNumbers.push(filter ? `${factor(values[picture.filter][place])}·${factor(known)}` : shown(known));
      });
      const target = all(".box", result)[picture.order[position]];
      target.classList.add("chosen");
      if (filter) all(".box", filter).forEach((box) => box.classList.add("lit"));
      const left = find(".label", target).textContent;
      const [open, between, close] = picture.maximum ? ["max(", ", ", ")"] : filter ? ["", " + ", ""] : ["average of ", ", ", ""];
      const told = (parts) => open + (parts.join(between) || "0") + close;
      const rest = picture.rest;
      const total = products.reduce((a, b) => a + b, 0);
      const known = values[picture.result];
      const number = known ? known[target.dataset.at] : total;
      const end = terms.length || rest ? `${rest} = ${shown(number)}` : "";
      find(".formula", section).textContent = `${left} = ${told(terms)}${rest} = ${told(inNumbers)}${end}`;
    }
    player(find(".step", section), find(".play", section), step);
    const again = () => { [background, filter, result].filter(Boolean).forEach(relabel); compute(); step(Number(find(".step", section).value)); };
    return again;
  }
  const slides = all(".slide").map(slide);

  function choosePlanes(index) {
    planes = data.planes[index];
    for (const figure of all("#elements figure")) {
      const wanted = planes[figure.dataset.planeOf];
      figure.hidden = wanted !== undefined && Number(figure.dataset.plane) !== wanted;
    }
    slides.forEach((again) => again());
  }

  function curve() {
    const { x, values: f, slopes } = data.curve;
    const range = find("#sample"), unit = 60;
    const step = () => {
      const at = Number(range.value);
      for (const [id, known] of [["#value-at", f], ["#slope-at", slopes]]) {
        const mark = find(id);
        mark.setAttribute("visibility", known[at] === null ? "hidden" : "visible");
        mark.setAttribute("cx", x[at] * unit);
        mark.setAttribute("cy", -(known[at] ?? 0) * unit);
      }
      const told = (number) => (number === null ? "undefined" : shown(number));
      find("#sampled").textContent = `x = ${shown(x[at])}: f(x) = ${told(f[at])}, f′(x) = ${told(slopes[at])}`;
    };
    range.addEventListener("input", step);
    range.value = Math.floor(x.length * 5 / 8);
    step();
  }

  function fields() {
    const layer = find("#field-layer"), row = find("#field-row"), column = find("#field-column");
    const step = () => {
      const axes = data.fields[layer.value];
      const [rows, columns] = axes.length > 1 ? axes : [[[0, 0]], axes[0]];
      row.max = rows.length - 1;
      column.max = columns.length - 1;
      const [[top, bottom], [left, right]] = [rows[row.value], columns[column.value]];
      for (const [name, value] of Object.entries({ x: left, y: top, width: Math.max(right - left + 1, 0), height: Math.max(bottom - top + 1, 0) })) {
        find("#seen").setAttribute(name, value);
      }
      const where = `rows ${top + 1} to ${bottom + 1}, columns ${left + 1} to ${right + 1}`;
      find("#field-words").textContent = `${layer.value}[${Number(row.value) + 1}, ${Number(column.value) + 1}] depends on X in ${where}.`;
    };
    layer.addEventListener("change", () => { row.value = 0; column.value = 0; step(); });
    [row, column].forEach((range) => range.addEventListener("input", step));
    step();
  }

  compute();
  if (data.curve) curve();
  if (data.fields) fields();
  all(".controls").forEach((controls) => { controls.hidden = false; });
  if (boxes.length) {
    const start = (at) => {
      pinned = null;
      const place = (planes[data.output] ?? 0) * size(data.output) + at;
      light(data.output, Math.min(place, data.tensors[data.output].names.length - 1));
    };
    player(find("#position"), find("#play"), start);
    find("#planes").addEventListener("change", (event) => { choosePlanes(event.target.selectedIndex); start(Number(find("#position").value)); });
    find("label.planes").hidden = data.planes.length < 2;
    find("#edit").addEventListener("submit", (event) => event.preventDefault());
    find("#number").addEventListener("input", (event) => {
      const { tensor, at } = find("#edit").dataset;
      if (event.target.value === "") return;
      values[tensor][at] = Number(event.target.value);
      compute();
      slides.forEach((again) => again());
      find("#symbols").textContent = `${name(tensor, at)} = ${shown(values[tensor][at])}`;
    });
    choosePlanes(0);
    start(0);
  }
})();
