import { globExpression } from '#catalog';
import { canonicalHost, formatRepository, type Repository } from '#oci';

export interface ClientRule {
  /** Names of users; `*` is every one. */
  readonly users: readonly string[];
  /** `<upstream>/<repository glob>`; `**` alone is everything. */
  readonly allow: readonly string[];
}

interface Allowed {
  /** Of `<upstream>/<path>`, in what JavaScript and PostgreSQL both read. */
  readonly expressions: readonly string[];
  readonly any: RegExp;
}

/** Who may pull from which repositories. What several rules allow adds up. */
export class ClientRules {
  private readonly forNobody: Allowed;
  private readonly byUser = new Map<string, Allowed>();
  private readonly forOthers: Allowed | undefined;

  constructor(
    /** Undefined: every user may pull everything. */
    rules: readonly ClientRule[] | undefined,
    /** What may be pulled without a name, and by every user. */
    anonymous: readonly string[],
  ) {
    this.forNobody = allowed(anonymous);
    if (rules === undefined) return;
    const of = (user: string) =>
      allowed([
        ...anonymous,
        ...rules.filter(({ users }) => users.includes(user) || users.includes('*')).flatMap(({ allow }) => allow),
      ]);
    this.forOthers = of('*');
    for (const user of new Set(rules.flatMap(({ users }) => users))) this.byUser.set(user, of(user));
  }

  /** `user` undefined: somebody without a name. */
  allows(user: string | undefined, repository: Repository): boolean {
    const { any } = this.of(user) ?? {};
    return any === undefined || any.test(formatRepository(repository));
  }

  /** Expressions of the `<upstream>/<path>` that the user may pull from; undefined: of all. */
  visibleTo(user: string | undefined): readonly string[] | undefined {
    return this.of(user)?.expressions;
  }

  /** Whether somebody without a name may pull anything. */
  get open(): boolean {
    return this.forNobody.expressions.length > 0;
  }

  private of(user: string | undefined): Allowed | undefined {
    return user === undefined ? this.forNobody : (this.byUser.get(user) ?? this.forOthers);
  }
}

function allowed(patterns: readonly string[]): Allowed {
  const expressions = [...new Set(patterns.map(expressionOf))];
  // Without any, one that nothing matches.
  return { expressions, any: new RegExp(expressions.join('|') || '$^') };
}

/** The pattern in canonical names: one rule for all ways to name a repository. */
function expressionOf(pattern: string): string {
  const slash = pattern.indexOf('/');
  if (slash < 0) return globExpression(pattern);
  const upstream = pattern.slice(0, slash);
  const path = pattern.slice(slash + 1);
  const host = canonicalHost(upstream) ?? upstream.toLowerCase();
  // As in an image's name: `docker.io/alpine` is `docker.io/library/alpine`.
  return globExpression(`${host}/${host === 'docker.io' && !/\/|\*\*/.test(path) ? 'library/' : ''}${path}`);
}
