import { isIP } from 'node:net';
import type { Endpoint } from './endpoints.js';
import type { ProxyOptions } from './options.js';

/** A proxy, and the hosts that are reached without it. */
export interface ProxyChoice {
  readonly uri: string;
  /** As `NO_PROXY` has it. */
  readonly except: string;
}

/** As curl and Go read the environment: lower case wins, and a proxy for http only where this is no CGI script. */
export function proxiesOf(env: Readonly<Record<string, string | undefined>>): ProxyOptions {
  return {
    http: env.http_proxy ?? (env.REQUEST_METHOD === undefined ? env.HTTP_PROXY : undefined),
    https: env.https_proxy ?? env.HTTPS_PROXY,
    except: env.no_proxy ?? env.NO_PROXY,
  };
}

/**
 * Which proxy a request made on behalf of `endpoint` goes through, if any: the endpoint's own for everything it leads to
 * (realms and redirects as well), else the environment's, which never holds for this machine itself.
 */
export function proxyFor(endpoint: Endpoint, url: URL, proxies: ProxyOptions): ProxyChoice | undefined {
  if (endpoint.proxy) return { uri: endpoint.proxy, except: '' };
  const uri = url.protocol === 'https:' ? proxies.https : proxies.http;
  return uri && !isLoopback(url.hostname) ? { uri, except: proxies.except ?? '' } : undefined;
}

function isLoopback(hostname: string): boolean {
  const name = hostname.replace(/^\[|\]$/g, '');
  return name === '::1' || /(?:^|\.)localhost$/.test(name) || (isIP(name) === 4 && name.startsWith('127.'));
}
