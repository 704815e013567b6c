import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { FailureRecord, Target } from '#oci';

@Entity('pulls')
@Check('pulls_state_check', `state IN ('running', 'finished')`)
export class PullLedgerRow {
  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'pulls_pkey' })
  key!: string;

  @Column('jsonb')
  target!: Target;

  @Column('text')
  state!: 'running' | 'finished';

  @Column('integer')
  attempt!: number;

  /** From the sequence `pull_token`: another for every claim, so that no claim is ever taken for an older one. */
  @Column('bigint')
  token!: string;

  @Column('text')
  worker!: string;

  @Column('timestamptz', { name: 'lease_until' })
  leaseUntil!: Date;

  /** Of claim, announce and finish; a renewal is no change. */
  @Index('pulls_changed_at_idx')
  @Column('timestamptz', { name: 'changed_at' })
  changedAt!: Date;

  @Column('jsonb', { nullable: true })
  relay!: unknown;

  @Column('bigint', { nullable: true })
  size!: string | null;

  @Column('jsonb', { nullable: true })
  failure!: FailureRecord | null;

  /** How the pull before this one ended, and when. */
  @Column('jsonb', { name: 'previous_failure', nullable: true })
  previousFailure!: FailureRecord | null;

  @Column('timestamptz', { name: 'previous_at', nullable: true })
  previousAt!: Date | null;

  /** When the first attempt claimed it. */
  @Column('timestamptz', { name: 'started_at', nullable: true })
  startedAt!: Date | null;
}
