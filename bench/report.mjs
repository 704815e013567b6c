/** The summaries of a bench as Markdown tables, one for each case. */
export function tables({ name, unit, cases }) {
  return cases.map(({ name: title, summary }) => `${name}, ${title}\n\n${tableOf(summary, unit)}`).join('\n');
}

function tableOf(summary, unit) {
  if (unit === 'side by side') return markdown(Object.keys(summary[0]), summary.map(Object.values));
  return unit === 'cold blob' ? coldTable(summary) : warmTable(summary, unit);
}

function warmTable(summary, unit) {
  const perSecond = unit === 'GB' ? 'GB/s' : 'req/s';
  const perUnit = unit === 'GB' ? 'CPU s/GB' : 'CPU µs/request';
  const head = [
    'server',
    perSecond,
    '(range)',
    perUnit,
    'p50 ms',
    'p99 ms',
    'peak PSS MB',
    'our rate / its',
    'our CPU / its',
    'cores used by others',
  ];
  const show = unit === 'GB' ? (value) => value.toFixed(2) : (value) => Math.round(value).toString();
  const lines = summary.map((line) => [
    line.server,
    show(line.rate),
    line.rateRange.map(show).join('–'),
    show(line.cpu),
    milliseconds(line.p50Ms),
    milliseconds(line.p99Ms),
    Math.round(line.peakPssBytes / 1e6),
    ratio(line.rateRatio),
    ratio(line.cpuRatio),
    line.otherCores.toFixed(1),
  ]);
  return markdown(head, lines);
}

function coldTable(summary) {
  const head = [
    'server',
    'seconds',
    '(range)',
    'times direct',
    'first byte ms (last)',
    'upstream GETs',
    'copies from upstream',
    'CPU s/GB sent',
    'peak RSS MB (one process)',
    'cores used by others',
  ];
  const lines = summary.map((line) => [
    line.server,
    line.seconds.toFixed(2),
    line.secondsRange.map((value) => value.toFixed(2)).join('–'),
    ratio(line.directRatio),
    `${Math.round(line.firstByteMs)} (${Math.round(line.firstByteMaxMs)})`,
    line.upstreamGets,
    line.upstreamCopies.toFixed(2),
    // What sends directly is the upstream, which is not watched.
    line.server === 'direct' ? '' : line.cpu.toFixed(2),
    line.server === 'direct' ? '' : megabytes(line.peakRssBytes) + largest(line),
    line.otherCores.toFixed(1),
  ]);
  return markdown(head, lines);
}

function markdown(head, lines) {
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'));
  return [head, rule, ...lines].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

/** Empty when no response was complete before the turn was over. */
function milliseconds(value) {
  return value > 0 ? value.toFixed(1) : '';
}

/** Results of before it was measured lack it. */
function largest({ peakProcessRssBytes }) {
  return peakProcessRssBytes === undefined ? '' : ` (${megabytes(peakProcessRssBytes)})`;
}

function megabytes(bytes) {
  return Math.round(bytes / 1e6);
}

function ratio(value) {
  return value === undefined ? '' : value.toFixed(2);
}
