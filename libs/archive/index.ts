export { packDirectory } from './directory.js';
export { readTar } from './read-tar.js';
export { openScratch } from './scratch.js';
export { tarStream } from './write-tar.js';
