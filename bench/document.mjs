import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tables } from './report.mjs';

const BEGIN = '<!-- results: written by the benches -->\n';
const END = '<!-- end of results -->\n';

/** Writes the tables of everything in `results` between the marks of `document`. */
export function writeTables(results, document) {
  const all = readdirSync(results)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(results, name), 'utf8')));
  const text = readFileSync(document, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${document} has no place for the results`);
  const sections = all.map((result) => `\n${section(result)}\n`).join('');
  writeFileSync(document, text.slice(0, begin + BEGIN.length) + sections + text.slice(end));
}

function section(result) {
  const { name, date, commit, machine, settings, versions } = result;
  const peers = Object.entries(versions)
    .map(([peer, version]) => `${peer} ${version}`)
    .join(', ');
  const where = `${machine.cores} cores (${machine.cpu}), ${machine.system}, Node ${machine.node}, ${peers}`;
  return `### ${name}\n\n${date.slice(0, 10)}, commit ${commit}, ${settings.rounds} round(s) of ${settings.seconds} s; ${where}.\n\n${tables(result)}`;
}
