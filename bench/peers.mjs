import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answers, freePort, start } from './processes.mjs';
import { startServices } from './services.mjs';

const program = fileURLToPath(new URL('../dist/apps/cli/main.js', import.meta.url));

/** Every server is `{name, url, pid, config, stop()}`, listens on loopback, and answers when these functions resolve. */

/**
 * Debian's docker-registry with what makes it fast: its descriptor cache on, its access log off. With `remote` it is a
 * pull-through cache of that URL, with `accessLog` it writes a line for each request to `log`.
 */
export async function startDockerRegistry(folder, { name = 'docker-registry', root, remote, accessLog = false }) {
  const port = await freePort();
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: !accessLog } },
    storage: {
      filesystem: { rootdirectory: root, maxthreads: 100 },
      cache: { blobdescriptor: 'inmemory' },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: `127.0.0.1:${port}` },
    ...(remote ? { proxy: { remoteurl: remote } } : {}),
  };
  mkdirSync(root, { recursive: true });
  // It reads YAML, of which JSON is a part.
  const file = write(folder, name, config);
  const url = `http://127.0.0.1:${port}`;
  return serving(name, url, `${url}/v2/`, config, folder, 'docker-registry', ['serve', file]);
}

/**
 * nginx sending the same bytes as files: what the machine can do, without being a registry. `rate` in bytes a second of each
 * connection; with `accessLog` it writes a line for each request to `accessLog`.
 */
export function startNginx(folder, { name = 'nginx', root, rate, accessLog }) {
  return nginx(
    folder,
    name,
    (port) => `  open_file_cache max=100000 inactive=600s;
  server {
    listen 127.0.0.1:${port} reuseport;
    root ${root};
${rate ? `    limit_rate ${rate};\n` : ''}${accessLog ? `    access_log ${accessLog} told;\n` : ''}    location / { types {} default_type application/octet-stream; }
    # Not everything here is an index: the type is for whoever reads the document (WIRE B31).
    location ~ /manifests/ { types {} default_type text/plain; }
    location = /ready { return 200; }
  }
`,
  );
}

/** nginx as a cache that knows nothing of registries; one request fetches, others of the same object wait. */
export function startNginxCache(folder, { upstream }) {
  return nginx(
    folder,
    'nginx',
    (
      port,
    ) => `  proxy_cache_path ${folder}/nginx-cache levels=1:2 keys_zone=blobs:50m max_size=20g inactive=1d use_temp_path=off;
  upstream origin { server ${upstream}; keepalive 64; }
  server {
    listen 127.0.0.1:${port} reuseport;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache blobs;
      proxy_cache_key $uri;
      proxy_cache_valid 200 1d;
      proxy_cache_lock on;
    }
    location = /ready { return 200; }
  }
`,
  );
}

/** nginx handing the GETs of `path` on to `object` of an object store, with buffers as large as it takes them. */
export function startNginxProxy(folder, { path, host, object }) {
  return nginx(
    folder,
    'nginx',
    (port) => `  upstream store { server ${host}; keepalive 64; }
  server {
    listen 127.0.0.1:${port} reuseport;
    location = "${path}" {
      proxy_pass http://store${object};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffer_size 64k;
      proxy_buffers 16 256k;
      proxy_busy_buffers_size 2m;
      proxy_max_temp_file_size 0;
    }
    location = /ready { return 200; }
  }
`,
  );
}

/** `server(port)`: the part of the configuration that makes it what it is. */
async function nginx(folder, name, server) {
  const port = await freePort();
  const config = `worker_processes auto;
daemon off;
pid ${folder}/${name}.pid;
error_log ${folder}/${name}.log error;
events { worker_connections 1024; }
http {
  log_format told '"$request" $status $body_bytes_sent';
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path ${folder}/${name}-body;
  proxy_temp_path ${folder}/${name}-proxy;
  fastcgi_temp_path ${folder}/${name}-fastcgi;
  uwsgi_temp_path ${folder}/${name}-uwsgi;
  scgi_temp_path ${folder}/${name}-scgi;
${server(port)}}
`;
  chmodSync(folder, 0o755);
  const file = join(folder, `${name}.conf`);
  writeFileSync(file, config);
  const url = `http://127.0.0.1:${port}`;
  return serving(name, url, `${url}/ready`, `${name}.conf`, folder, 'nginx', ['-c', file, '-p', folder]);
}

/**
 * This repository's server, started as a user does, with its defaults; `upstream` (and each of `also`) is `host:port` of a plain HTTP
 * registry, `more` is configuration, `data` the name of its directory. `waitFor(running)`, told the URL, stands for its readiness.
 */
export async function startOurs(folder, { upstream, also = [], more = {}, data = 'ociregistry-data', waitFor }) {
  const [port, adminPort] = [await freePort(), await freePort()];
  const dataDir = join(folder, data);
  const config = {
    host: '127.0.0.1',
    port,
    adminPort,
    dataDir,
    registries: [upstream, ...also].map((name) => ({
      name,
      description: 'the upstream of this bench',
      scheme: 'http',
    })),
    ...more,
  };
  const file = write(folder, 'ociregistry', config);
  const args = [program, 'serve', '--config-file', file];
  const ready = `http://127.0.0.1:${adminPort}/health/ready`;
  return serving('ociregistry', `http://127.0.0.1:${port}`, ready, config, folder, process.execPath, args, waitFor);
}

/**
 * Two gateways and two pullers of this repository's server on PostgreSQL, NATS and S3 of their own. `urls` are the gateways',
 * `pids` those of the four processes: the services are not watched.
 */
export async function startSpread(folder, { upstream, more = {} }) {
  const services = await startServices();
  const started = [];
  const stop = async () => {
    await Promise.all(started.map((server) => server.stop()));
    await services.stop();
  };
  try {
    const one = async (role, n) => {
      const [port, adminPort, relayPort] = [await freePort(), await freePort(), await freePort()];
      const name = `${role}-${n}`;
      const config = {
        host: '127.0.0.1',
        port,
        adminPort,
        dataDir: join(folder, `spread-${name}`),
        relay: { port: relayPort, advertise: '127.0.0.1' },
        registries: [{ name: upstream, description: 'the upstream of this bench', scheme: 'http' }],
        ...services.config,
        ...more,
      };
      const args = [program, 'serve', '--role', role, '--config-file', write(folder, `spread-${name}`, config)];
      const ready = `http://127.0.0.1:${adminPort}/health/ready`;
      const url = `http://127.0.0.1:${port}`;
      const server = await serving(name, url, ready, config, folder, process.execPath, args);
      started.push(server);
      return server;
    };
    const gateways = [await one('gateway', 1), await one('gateway', 2)];
    const pullers = [await one('puller', 1), await one('puller', 2)];
    return {
      name: 'two gateways, two pullers',
      urls: gateways.map(({ url }) => url),
      pids: [...gateways, ...pullers].map(({ pid }) => pid),
      config: pullers[0].config,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function serving(name, url, ready, config, folder, command, args, waitFor) {
  const log = join(folder, `${name}.log`);
  const begun = performance.now();
  const running = start(command, args, { log });
  try {
    if (waitFor) await waitFor({ url });
    else await answers(running, ready, log);
  } catch (error) {
    await running.stop();
    throw new Error(`${name}: ${error.message}`);
  }
  const startedMs = performance.now() - begun;
  return { name, url, pid: running.pid, config, log, startedMs, stop: () => running.stop() };
}

function write(folder, name, config) {
  // The server's own PostgreSQL runs as another user when this is root.
  chmodSync(folder, 0o755);
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, JSON.stringify(config, null, 2));
  return file;
}
