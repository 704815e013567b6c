import http from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { freePort, untilReady } from './probe.js';
import { type Service, type ServiceRecipe, startTimeout } from './service.js';

let answering: Promise<boolean> | undefined;

/** Whether a Docker engine answers. `OCIREGISTRY_TEST_SERVICES=docker|local` decides without asking. */
export function engineAnswers(): Promise<boolean> {
  const forced = process.env.OCIREGISTRY_TEST_SERVICES;
  if (forced) return Promise.resolve(forced === 'docker');
  answering ??= ping();
  return answering;
}

async function ping(): Promise<boolean> {
  const given = process.env.DOCKER_HOST;
  const sockets = given?.startsWith('unix://')
    ? [given.slice('unix://'.length)]
    : ['/var/run/docker.sock', join(homedir(), '.docker/run/docker.sock')];
  if (given?.startsWith('tcp://')) return answers({ ...address(given), path: '/_ping' });
  for (const socketPath of sockets) {
    if (await answers({ socketPath, path: '/_ping' })) return true;
  }
  return false;
}

function address(url: string): { host: string; port: string } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: port || '2375' };
}

function answers(options: http.RequestOptions): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get({ ...options, agent: false, timeout: 2_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

/** Whether the engine holds the image, so that a failed start had another reason than a failed pull. */
export async function hasImage(image: string): Promise<boolean> {
  const { ImageName, getContainerRuntimeClient } = await import('testcontainers');
  const client = await getContainerRuntimeClient();
  return client.image.exists(ImageName.fromString(image));
}

/** Starts the recipe's server as a container; its port on this host is chosen here, so that a restart keeps it. */
export async function startContainer(recipe: ServiceRecipe): Promise<Service> {
  const { GenericContainer, Wait, getContainerRuntimeClient } = await import('testcontainers');
  const { image, port: inside, env, command, files } = recipe.container;
  const port = await freePort();
  let definition = new GenericContainer(image)
    .withExposedPorts({ container: inside, host: port })
    .withEnvironment(env ?? {})
    .withWaitStrategy(Wait.forListeningPorts())
    .withStartupTimeout(startTimeout);
  if (command) definition = definition.withCommand(command);
  if (files) definition = definition.withCopyFilesToContainer(files);
  const started = await definition.start();
  const client = await getContainerRuntimeClient();
  const container = client.container.getById(started.getId());
  const ready = () => untilReady(() => recipe.probe(port), AbortSignal.timeout(startTimeout));
  let stopped: Promise<unknown> | undefined;
  try {
    await ready();
  } catch (error) {
    await started.stop();
    throw error;
  }
  return {
    host: '127.0.0.1',
    port,
    pid: undefined,
    async restart() {
      await container.restart();
      await ready();
    },
    async kill() {
      await container.kill({ signal: 'SIGKILL' });
    },
    async stop() {
      stopped ??= started.stop({ remove: true, removeVolumes: true });
      await stopped;
    },
    async logs() {
      return String(await container.logs({ stdout: true, stderr: true }));
    },
  };
}
