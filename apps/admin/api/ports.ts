import type { Bus } from '#bus';
import type { Catalog } from '#catalog';
import type { Config } from '#config';
import type { Explainer, UpstreamStates } from '#registry';

/** Token of `AdminPorts`: one object, as Nest would ask each port by itself for life-cycle methods. */
export const PORTS = Symbol('ports');

/** What the controllers are given. */
export interface AdminPorts {
  readonly config: Config;
  readonly catalog: Catalog;
  readonly bus: Bus;
  readonly upstreams: UpstreamStates;
  readonly explainer: Explainer;
}
