import {
  Check,
  Column,
  Entity,
  Index,
  JoinColumn,
  ManyToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  Unique,
} from 'typeorm';
import type { Digest } from '#oci';
import { digestColumn } from '../postgres/digest-column.js';
import { RepositoryRow } from './repository.js';

@Entity('manifests')
@Unique('manifests_digest_key', ['digest'])
@Check('manifests_digest_check', 'octet_length(digest) IN (32, 64)')
export class ManifestRow {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'manifests_pkey',
  })
  id!: string;

  @Column('bytea', { transformer: digestColumn })
  digest!: Digest;

  @Column('text', { name: 'media_type' })
  mediaType!: string;

  @Column('bigint')
  size!: string;

  /** Not selected unless asked for: up to 4 MiB each. */
  @Column('bytea', { select: false })
  bytes!: Buffer;

  @Index('manifests_subject_idx', { where: '(subject IS NOT NULL)' })
  @Column('bytea', { nullable: true, transformer: digestColumn })
  subject!: Digest | null;

  @Column('text', { name: 'artifact_type', nullable: true })
  artifactType!: string | null;

  @Column('jsonb', { nullable: true })
  annotations!: Record<string, string> | null;
}

@Entity('edges')
@Index('edges_child_idx', ['child', 'parentId'])
@Check('edges_kind_check', `kind IN ('config', 'layer', 'manifest')`)
@Check('edges_child_check', 'octet_length(child) IN (32, 64)')
export class EdgeRow {
  @PrimaryColumn('bigint', { name: 'parent_id', primaryKeyConstraintName: 'edges_pkey' })
  parentId!: string;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'edges_pkey' })
  ordinal!: number;

  /** By digest: the child need not be stored. */
  @Column('bytea', { transformer: digestColumn })
  child!: Digest;

  @Column('text')
  kind!: 'config' | 'layer' | 'manifest';

  @Column('bigint')
  size!: string;

  @Column('text', { nullable: true })
  platform!: string | null;

  @ManyToOne(() => ManifestRow, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'parent_id', foreignKeyConstraintName: 'edges_parent_fkey' })
  parent!: ManifestRow;
}

/** This repository has shown this manifest itself. */
@Entity('repository_manifests')
export class RepositoryManifestRow {
  @PrimaryColumn('bigint', { name: 'repository_id', primaryKeyConstraintName: 'repository_manifests_pkey' })
  repositoryId!: string;

  @Index('repository_manifests_manifest_idx')
  @PrimaryColumn('bigint', { name: 'manifest_id', primaryKeyConstraintName: 'repository_manifests_pkey' })
  manifestId!: string;

  /** Set only where this repository's upstream calls it something else than `manifests.media_type`. */
  @Column('text', { name: 'media_type', nullable: true })
  mediaType!: string | null;

  @Column('timestamptz', { name: 'stored_at' })
  storedAt!: Date;

  @Index('repository_manifests_last_access_idx')
  @Column('timestamptz', { name: 'last_access' })
  lastAccess!: Date;

  /** Who asked then: address and name for itself, as a gateway saw them. */
  @Column('text', { name: 'last_client', nullable: true })
  lastClient!: string | null;

  @ManyToOne(() => RepositoryRow)
  @JoinColumn({ name: 'repository_id', foreignKeyConstraintName: 'repository_manifests_repository_fkey' })
  repository!: RepositoryRow;

  @ManyToOne(() => ManifestRow, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'manifest_id', foreignKeyConstraintName: 'repository_manifests_manifest_fkey' })
  manifest!: ManifestRow;
}
