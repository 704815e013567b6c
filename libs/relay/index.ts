export { HttpRelays } from './client.js';
export { RelayServer } from './server.js';
