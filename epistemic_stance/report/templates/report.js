(function () {
  'use strict';
  var data = JSON.parse(document.getElementById('data').textContent);
  if (!data) { return; }
  var PAGE = 10, GRADES = ['right', 'wrong', 'unparsed'];
  var SET = 0, CATEGORY = 1, EXPOSURE = 2, QUESTION = 3, FLIPS = 4, WARM = 5, TURN = 6, BEFORE = 7, AFTER = 8;
  var TEXT = 0, GRADE = 1, PARROTED = 2, HITS = 3, COPIED = 4;
  var form = document.getElementById('filters'), box = document.getElementById('answers');
  var found = document.getElementById('found');
  var shown = data.pairs, page = 0, current = -1, waiting = 0;

  function make(tag, text, name) {
    var element = document.createElement(tag);
    if (text !== undefined) { element.textContent = text; }
    if (name) { element.className = name; }
    return element;
  }

  function fill(name, values) {
    values.map(function (value, number) { return [value, number]; })
      .sort(function (a, b) { return a[0] < b[0] ? -1 : 1; })
      .forEach(function (one) {
        var option = make('option', one[0].replace(/_/g, ' '));
        option.value = String(one[1]);
        form.elements[name].append(option);
      });
  }

  function has(side, pattern) {
    return side[HITS].some(function (hit) { return hit[0] === pattern; });
  }

  // --- which pairs ---------------------------------------------------------------------------------------

  function wanted() {
    var value = function (name) { return form.elements[name].value; };
    var number = function (name) { return value(name) === '' ? null : Number(value(name)); };
    var set = number('set'), category = number('category'), exposure = number('exposure'), pattern = number('pattern');
    var where = value('where'), flip = value('flip'), grade = value('grade'), copied = value('copied');
    var words = value('text').trim().toLowerCase().split(/\s+/).filter(Boolean);
    return function (pair) {
      var before = pair[BEFORE], after = pair[AFTER];
      if (set !== null && pair[SET] !== set) { return false; }
      if (category !== null && pair[CATEGORY] !== category) { return false; }
      if (exposure !== null && pair[EXPOSURE] !== exposure) { return false; }
      if (pattern !== null) {
        var first = has(before, pattern), second = has(after, pattern);
        var fits = { '': first || second, before: first && !second, after: second && !first, both: first && second };
        if (!fits[where]) { return false; }
      }
      if (flip === 'any' ? !pair[FLIPS].length : flip !== '' && pair[FLIPS].indexOf(Number(flip)) < 0) { return false; }
      if (grade === 'wrong' && after[GRADE] !== 1) { return false; }
      if (grade === 'lost' && !(before[GRADE] === 0 && after[GRADE] === 1)) { return false; }
      if (grade === 'won' && !(before[GRADE] === 1 && after[GRADE] === 0)) { return false; }
      if (grade === 'unparsed' && after[GRADE] !== 2) { return false; }
      if (copied === 'parroted' && !after[PARROTED]) { return false; }
      if (copied === 'some' && !after[COPIED].length) { return false; }
      if (words.length) {
        var all = (data.questions[pair[QUESTION]] + '\n' + before[TEXT] + '\n' + after[TEXT]).toLowerCase();
        return words.every(function (word) { return all.indexOf(word) >= 0; });
      }
      return true;
    };
  }

  function filter() {
    shown = data.pairs.filter(wanted());
    page = 0;
    current = -1;
    show();
  }

  // --- one page ------------------------------------------------------------------------------------------

  function pages() { return Math.max(1, Math.ceil(shown.length / PAGE)); }

  function show() {
    var first = page * PAGE, last = Math.min(shown.length, first + PAGE);
    box.replaceChildren.apply(box, shown.slice(first, last).map(article));
    found.textContent = shown.length
      ? 'Pairs ' + (first + 1) + ' to ' + last + ' of ' + shown.length.toLocaleString('en')
      : 'No pair of answers fits';
    ['earlier', 'earlier-below'].forEach(function (id) { document.getElementById(id).disabled = page === 0; });
    ['later', 'later-below'].forEach(function (id) { document.getElementById(id).disabled = page >= pages() - 1; });
  }

  function article(pair, place) {
    var one = make('article');
    one.tabIndex = -1;
    one.setAttribute('aria-label', 'Pair ' + (page * PAGE + place + 1) + ' of ' + shown.length);
    var question = make('h3', data.questions[pair[QUESTION]]);
    question.dir = 'auto';
    var told = [data.sets[pair[SET]], data.categories[pair[CATEGORY]], data.exposures[pair[EXPOSURE]]];
    if (pair[WARM] !== null) { told.push('temperature ' + pair[WARM]); }
    if (pair[TURN] !== null) { told.push('answer ' + pair[TURN]); }
    if (pair[FLIPS].length) {
      told.push('flipped: ' + pair[FLIPS].map(function (n) { return data.measures[n]; }).join(', '));
    }
    var sides = make('div', undefined, 'sides');
    sides.append(side(data.names[0], pair[BEFORE]), side(data.names[1], pair[AFTER]));
    one.append(question, make('p', told.join(' \u00b7 ').replace(/_/g, ' '), 'meta'), sides);
    return one;
  }

  function side(name, answer) {
    var one = make('div', undefined, 'side');
    var patterns = answer[HITS].map(function (hit) { return data.patterns[hit[0]].replace(/_/g, ' '); });
    var told = Array.from(new Set(patterns));
    if (answer[GRADE] >= 0) { told.unshift(GRADES[answer[GRADE]]); }
    if (answer[PARROTED]) { told.push('parroted'); }
    one.append(make('h4', name + (told.length ? ': ' + told.join(', ') : '')));
    one.append(answer[TEXT].trim() ? marked(answer) : make('p', '(empty)', 'text empty'));
    return one;
  }

  function marked(answer) {
    var text = make('p', undefined, 'text'), cuts = new Set([0, answer[TEXT].length]);
    text.dir = 'auto';
    answer[HITS].forEach(function (hit) { cuts.add(hit[1]).add(hit[2]); });
    answer[COPIED].forEach(function (span) { cuts.add(span[0]).add(span[1]); });
    var places = Array.from(cuts).sort(function (a, b) { return a - b; });
    for (var n = 0; n + 1 < places.length; n++) { text.append(piece(answer, places[n], places[n + 1])); }
    return text;
  }

  function piece(answer, start, end) {
    var hits = answer[HITS].filter(function (hit) { return hit[1] <= start && end <= hit[2]; });
    var copied = answer[COPIED].some(function (span) { return span[0] <= start && end <= span[1]; });
    var words = answer[TEXT].slice(start, end);
    if (!hits.length && !copied) { return document.createTextNode(words); }
    var element = make(hits.length ? 'mark' : 'span', words, copied ? 'copied' : '');
    if (hits.length) { element.dataset.group = data.groups[hits[0][0]]; }
    var names = Array.from(new Set(hits.map(function (hit) { return data.patterns[hit[0]]; })));
    if (copied) { names.push('copied from a chosen answer'); }
    element.title = names.join(', ').replace(/_/g, ' ');
    return element;
  }

  // --- moving about --------------------------------------------------------------------------------------

  function turn(step) {
    var next = Math.min(pages() - 1, Math.max(0, page + step));
    if (next === page) { return false; }
    page = next;
    current = -1;
    show();
    return true;
  }

  function go(step) {
    var count = box.children.length;
    if (!count) { return; }
    var next = current + step;
    if (next >= count) {
      if (!turn(1)) { return; }
      next = 0;
    } else if (next < 0) {
      if (current < 0 || !turn(-1)) { next = 0; } else { next = box.children.length - 1; }
    }
    current = next;
    box.children[current].focus({ preventScroll: true });
    box.children[current].scrollIntoView({ block: 'nearest' });
  }

  function leaf(step) {
    if (turn(step)) {
      box.children[0].focus({ preventScroll: true });
      box.scrollIntoView({ block: 'start' });
    }
  }

  document.addEventListener('keydown', function (event) {
    var typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (typing || event.ctrlKey || event.altKey || event.metaKey) { return; }
    var keys = {
      j: function () { go(1); },
      k: function () { go(-1); },
      ArrowRight: function () { leaf(1); },
      ArrowLeft: function () { leaf(-1); },
      '/': function () { form.elements.text.focus(); }
    };
    var inside = event.target.closest('.browser');
    if (keys[event.key] && (inside || event.key.length === 1)) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  box.addEventListener('focusin', function (event) {
    current = Array.prototype.indexOf.call(box.children, event.target.closest('article'));
  });
  form.addEventListener('submit', function (event) { event.preventDefault(); });
  form.addEventListener('change', filter);
  form.addEventListener('reset', function () { setTimeout(filter, 0); });
  form.elements.text.addEventListener('input', function () {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 150);
  });
  [['earlier', turn, -1], ['later', turn, 1], ['earlier-below', leaf, -1], ['later-below', leaf, 1]].forEach(function (one) {
    document.getElementById(one[0]).addEventListener('click', function () { one[1](one[2]); });
  });

  document.getElementById('silent').remove();
  fill('set', data.sets);
  fill('category', data.categories);
  fill('exposure', data.exposures);
  fill('pattern', data.patterns);
  fill('flip', data.measures);
  show();
}());
