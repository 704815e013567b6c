import { stacks } from '../support/servers.js';
import { blobs } from './wire/blobs.js';
import { connections } from './wire/connections.js';
import { errors } from './wire/errors.js';
import { goldenHeaders } from './wire/headers.js';
import { heads } from './wire/heads.js';
import { manifests } from './wire/manifests.js';
import { Wire } from './wire/wire.js';

jest.setTimeout(240_000);

describe.each(stacks())('the wire of the %s stack', (name) => {
  const wire = new Wire();
  beforeAll(() => wire.start(name));
  afterAll(() => wire.stop());
  afterEach(() => wire.upstream.faults.clear());

  goldenHeaders(wire);
  manifests(wire);
  heads(wire);
  blobs(wire);
  errors(wire);
  connections(wire);

  // Last: by now every answer that the document describes must have been seen.
  it('docs/api/registry.yaml says all of this and nothing else', () => {
    expect(wire.problems).toEqual([]);
    expect(wire.check.unseen()).toEqual([]);
  });
});
