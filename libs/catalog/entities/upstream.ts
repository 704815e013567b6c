import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('upstreams')
export class UpstreamLedgerRow {
  /** Canonical host. */
  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'upstreams_pkey' })
  upstream!: string;

  @Column('timestamptz', { name: 'paused_until', nullable: true })
  pausedUntil!: Date | null;

  @Column('text', { name: 'pause_cause', nullable: true })
  pauseCause!: string | null;

  /** Only requests that the upstream counts rest. */
  @Column('boolean', { name: 'paused_counted' })
  pausedCounted!: boolean;

  @Column('timestamptz', { name: 'failing_until', nullable: true })
  failingUntil!: Date | null;

  @Column('jsonb', { nullable: true })
  quota!: object | null;

  @Column('timestamptz', { name: 'quota_at', nullable: true })
  quotaAt!: Date | null;
}

/** One row, made with the table. */
@Entity('installation')
export class InstallationRow {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'installation_pkey' })
  id!: string;
}
