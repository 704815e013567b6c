import { Failure, type Grant, type Repository, type Route } from '#oci';
import type { ClientRules } from './client-rules.js';

/** Who asks. */
export type Caller =
  /** Gave no name and no token. */
  | { readonly kind: 'nobody' }
  /** Is who they say; `user` undefined: holds a token that was given to somebody without a name. */
  | { readonly kind: 'known'; readonly user?: string; readonly grant?: Grant }
  /** Gave something that proves nothing. */
  | { readonly kind: 'unproven'; readonly message: string; readonly error?: 'invalid_token' };

/** A failure whose answer carries a challenge. */
export class Unauthorized extends Failure {
  constructor(
    message?: string,
    readonly error?: 'invalid_token' | 'insufficient_scope',
  ) {
    super('UNAUTHORIZED', message);
  }
}

/**
 * Decides whether a caller may have what is asked for, before anybody looks whether it is here: what it decides, and how long it
 * takes, tells nothing of that (WIRE A21).
 */
export class Admission {
  constructor(private readonly rules: ClientRules) {}

  /**
   * `locate` gives the repository that the route means, or throws the Failure that the client is to see; who may see nothing
   * does not learn that either. Throws `Unauthorized` where another name or token might do, else Failure DENIED.
   */
  admit(caller: Caller, route: Route, locate: () => Repository): void {
    if (caller.kind === 'unproven') throw new Unauthorized(caller.message, caller.error);
    if (!('name' in route)) {
      if (caller.kind === 'nobody') throw new Unauthorized();
      if (route.kind === 'catalog' && caller.grant?.catalog === false) throw outOfScope();
      return;
    }
    const user = caller.kind === 'known' ? caller.user : undefined;
    if (user === undefined && !this.rules.open) throw new Unauthorized();
    if (caller.kind === 'known' && caller.grant && !caller.grant.repositories.has(route.name)) throw outOfScope();
    if (this.mayPull(user, locate)) return;
    if (user !== undefined) throw new Failure('DENIED', 'you may not pull from this repository');
    throw caller.kind === 'nobody' ? new Unauthorized() : outOfScope();
  }

  private mayPull(user: string | undefined, locate: () => Repository): boolean {
    if (user !== undefined) return this.rules.allows(user, locate());
    try {
      return this.rules.allows(user, locate());
    } catch {
      return false;
    }
  }
}

function outOfScope(): Unauthorized {
  return new Unauthorized('this token is not for what was asked', 'insufficient_scope');
}
