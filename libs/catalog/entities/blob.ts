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

@Entity('blobs')
@Unique('blobs_digest_key', ['digest'])
@Check('blobs_digest_check', 'octet_length(digest) IN (32, 64)')
@Check('blobs_size_check', 'size >= 0')
export class BlobRow {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'blobs_pkey',
  })
  id!: string;

  @Column('bytea', { transformer: digestColumn })
  digest!: Digest;

  @Column('bigint')
  size!: string;

  @Column('timestamptz', { name: 'stored_at' })
  storedAt!: Date;

  @Index('blobs_last_access_idx')
  @Column('timestamptz', { name: 'last_access' })
  lastAccess!: Date;
}

/** This repository has shown this blob itself. The largest table, so it holds two numbers and is never updated. */
@Entity('repository_blobs')
export class RepositoryBlobRow {
  @PrimaryColumn('bigint', { name: 'blob_id', primaryKeyConstraintName: 'repository_blobs_pkey' })
  blobId!: string;

  @PrimaryColumn('bigint', { name: 'repository_id', primaryKeyConstraintName: 'repository_blobs_pkey' })
  repositoryId!: string;

  @ManyToOne(() => BlobRow, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'blob_id', foreignKeyConstraintName: 'repository_blobs_blob_fkey' })
  blob!: BlobRow;

  @ManyToOne(() => RepositoryRow)
  @JoinColumn({ name: 'repository_id', foreignKeyConstraintName: 'repository_blobs_repository_fkey' })
  repository!: RepositoryRow;
}
