export { packDirectory, readDirectory } from './directory.js';
export { readTar, readTarFile } from './read-tar.js';
export { openScratch } from './scratch.js';
export { tarStream } from './write-tar.js';
