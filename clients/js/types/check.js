// Compiles, as strictly as tsc can: the types, what an application may write, and the snippets of the READMEs that are named.
// In snippets of plain JavaScript there is no place for the types of parameters: they alone may be left out.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const snippets = join(here, 'snippets');
const compilerOptions = { ...JSON.parse(readFileSync(join(here, 'tsconfig.json'), 'utf8')).compilerOptions, allowJs: true, checkJs: true };

function compile(name, include, more = {}) {
  const project = join(snippets, `${name}.json`);
  const typeRoots = [join(here, '..', 'node_modules', '@types')];
  writeFileSync(project, JSON.stringify({ compilerOptions: { ...compilerOptions, ...more, typeRoots }, files: include }));
  const { status, stdout } = spawnSync(process.execPath, [join(here, '..', 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project], { encoding: 'utf8' });
  if (status !== 0) {
    console.error(`${name}:\n${stdout}`);
    process.exit(1);
  }
}

rmSync(snippets, { recursive: true, force: true });
mkdirSync(snippets);
// Of the declarations only ours are to be checked, so there are no others here than those of Node.
compile('types', [join(here, 'usage.ts'), join(here, '..', 'index.d.ts'), join(here, '..', 'events.d.ts')], { lib: ['ES2023'], skipLibCheck: false });
const files = { ts: [], js: [] };
process.argv.slice(2).forEach((readme, place) => {
  const found = [...readFileSync(readme, 'utf8').matchAll(/^```(ts|js)\n(.*?)^```/gms)];
  found.forEach(([, kind, text], nth) => {
    files[kind].push(join(snippets, `${place}-${nth}.m${kind}`));
    // A module of its own, so that snippets do not see each other's names.
    writeFileSync(files[kind].at(-1), `${text}\nexport {};\n`);
  });
  console.log(`${basename(readme)}: ${found.length} snippets`);
});
for (const kind of ['ts', 'js']) if (files[kind].length > 0) compile(kind, files[kind], { skipLibCheck: true, noImplicitAny: kind === 'ts' });
