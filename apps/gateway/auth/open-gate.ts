import type { Config } from '#config';
import { ClientRules, type Log } from '#registry';
import { tokenKey } from '#stack';
import type { PublicAddress } from '../public-address.js';
import { Callers } from './callers.js';
import { Gate } from './gate.js';
import { Passwords } from './passwords.js';
import { Tokens } from './tokens.js';
import { Users } from './users.js';

/** The gate that the configuration asks for. Throws Error when its files cannot be used. */
export function openGate(
  config: Config,
  clientAuth: NonNullable<Config['clientAuth']>,
  address: PublicAddress,
  log: Log,
): Gate {
  const { htpasswd, rules, anonymous, service, tokenLifetime } = clientAuth;
  const users = new Users(htpasswd, log);
  const passwords = new Passwords();
  const tokens = new Tokens(tokenKey(config), service, tokenLifetime, (user) => users.hashOf(user));
  return new Gate({
    callers: new Callers(users, passwords, tokens),
    tokens,
    rules: new ClientRules(rules, anonymous),
    address,
    service,
    pathPrefix: config.pathPrefix,
    close() {
      users.close();
      passwords.close();
    },
  });
}
