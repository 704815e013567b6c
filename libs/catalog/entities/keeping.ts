import { Check, Column, Entity, JoinColumn, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';

/** What was served and fetched within a time bucket that begins at `at`. */
@Entity('usage')
export class UsageRow {
  @PrimaryColumn('timestamptz', { primaryKeyConstraintName: 'usage_pkey' })
  at!: Date;

  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'usage_pkey' })
  upstream!: string;

  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'usage_pkey' })
  kind!: string;

  @Column('bigint')
  hits!: string;

  @Column('bigint')
  misses!: string;

  @Column('bigint')
  failures!: string;

  @Column('bigint', { name: 'bytes_served' })
  bytesServed!: string;

  @Column('bigint', { name: 'bytes_fetched' })
  bytesFetched!: string;

  @Column('bigint', { name: 'upstream_requests' })
  upstreamRequests!: string;
}

/** Work that one process does for all, and when it was last done. */
@Entity('duties')
export class DutyRow {
  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'duties_pkey' })
  name!: string;

  @Column('text')
  holder!: string;

  @Column('timestamptz', { name: 'lease_until' })
  leaseUntil!: Date;

  @Column('timestamptz', { name: 'done_at', nullable: true })
  doneAt!: Date | null;
}

@Entity('prune_jobs')
@Check('prune_jobs_state_check', `state IN ('planned', 'running', 'done', 'failed', 'cancelled')`)
export class PruneJobRow {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'prune_jobs_pkey',
  })
  id!: string;

  @Column('text')
  cause!: string;

  @Column('jsonb')
  rule!: unknown;

  @Column('text')
  state!: string;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'finished_at', nullable: true })
  finishedAt!: Date | null;

  @Column('jsonb')
  planned!: unknown;

  @Column('jsonb')
  removed!: unknown;

  @Column('text', { nullable: true })
  error!: string | null;
}

/** One image of a plan; it goes when its item has been carried out. */
@Entity('prune_items')
export class PruneItemRow {
  @PrimaryColumn('bigint', { name: 'job_id', primaryKeyConstraintName: 'prune_items_pkey' })
  jobId!: string;

  @PrimaryColumn('bigint', { primaryKeyConstraintName: 'prune_items_pkey' })
  ordinal!: string;

  @Column('bigint', { name: 'repository_id' })
  repositoryId!: string;

  @Column('bigint', { name: 'manifest_id' })
  manifestId!: string;

  /** The manifest goes too, and not only these tags. */
  @Column('boolean')
  whole!: boolean;

  @Column('text', { array: true })
  tags!: string[];

  /** As planned; accessed since, it stays. */
  @Column('timestamptz', { name: 'last_access' })
  lastAccess!: Date;

  @ManyToOne(() => PruneJobRow, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'job_id', foreignKeyConstraintName: 'prune_items_job_fkey' })
  job!: PruneJobRow;
}

/** A difference that one statement made; the sums of a kind are its total. */
@Entity('totals')
export class TotalRow {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'totals_pkey',
  })
  id!: string;

  @Column({ type: 'text', collation: 'C' })
  kind!: string;

  @Column('bigint')
  count!: string;

  @Column('bigint')
  bytes!: string;
}
