import { randomBytes } from 'node:crypto';
import { nkeys } from '@nats-io/nats-core';

type KeyPair = ReturnType<typeof nkeys.createUser>;

/** What a NATS server in operator mode is started with, and the credentials file of one of its users. */
export interface Operator {
  /** Lines of `nats.conf`. */
  readonly config: string;
  /** Content of a `.creds` file. */
  readonly credentials: string;
  /** Of a user of another account, which this server does not know. */
  readonly strangerCredentials: string;
}

/** Made here rather than by NATS's `nsc`: three signed tokens (https://docs.nats.io, "Decentralized JWT Authentication"). */
export function makeOperator(): Operator {
  const operator = nkeys.createOperator();
  const [account, stranger, system] = [nkeys.createAccount(), nkeys.createAccount(), nkeys.createAccount()];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1, wildcards: true };
  const jetStream = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const operatorToken = token(operator, operator, { type: 'operator', version: 2 });
  const accountToken = token(operator, account, { type: 'account', version: 2, limits: { ...limits, ...jetStream } });
  const systemToken = token(operator, system, { type: 'account', version: 2, limits });
  return {
    config: `operator: ${operatorToken}
resolver: MEMORY
system_account: ${system.getPublicKey()}
resolver_preload: { ${account.getPublicKey()}: ${accountToken}, ${system.getPublicKey()}: ${systemToken} }
`,
    credentials: credentialsOf(account),
    strangerCredentials: credentialsOf(stranger),
  };
}

function credentialsOf(account: KeyPair): string {
  const user = nkeys.createUser();
  const claims = { type: 'user', version: 2, subs: -1, data: -1, payload: -1, pub: {}, sub: {} };
  const seed = Buffer.from(user.getSeed()).toString();
  return `-----BEGIN NATS USER JWT-----
${token(account, user, claims)}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${seed}
------END USER NKEY SEED------
`;
}

function token(issuer: KeyPair, subject: KeyPair, nats: object): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const key = subject.getPublicKey();
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    jti: randomBytes(16).toString('hex'),
    iat: now,
    iss: issuer.getPublicKey(),
    name: key,
    sub: key,
    nats,
  };
  const signed = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode(claims)}`;
  return `${signed}.${Buffer.from(nkeys.fromSeed(issuer.getSeed()).sign(Buffer.from(signed))).toString('base64url')}`;
}
