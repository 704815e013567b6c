import { Check, Column, Entity, JoinColumn, ManyToOne, PrimaryColumn } from 'typeorm';
import type { Digest } from '#oci';
import { digestColumn } from '../postgres/digest-column.js';
import { RepositoryRow } from './repository.js';

/** The tags of a repository as its upstream listed them last. */
@Entity('tag_lists')
export class TagListRow {
  @PrimaryColumn('bigint', { name: 'repository_id', primaryKeyConstraintName: 'tag_lists_pkey' })
  repositoryId!: string;

  @Column('text', { array: true })
  names!: string[];

  @Column('timestamptz', { name: 'checked_at' })
  checkedAt!: Date;

  @ManyToOne(() => RepositoryRow)
  @JoinColumn({ name: 'repository_id', foreignKeyConstraintName: 'tag_lists_repository_fkey' })
  repository!: RepositoryRow;
}

/** What refers to a manifest, as its repository's upstream listed it last. */
@Entity('referrer_lists')
@Check('referrer_lists_subject_check', 'octet_length(subject) IN (32, 64)')
export class ReferrerListRow {
  @PrimaryColumn('bigint', { name: 'repository_id', primaryKeyConstraintName: 'referrer_lists_pkey' })
  repositoryId!: string;

  @PrimaryColumn('bytea', { transformer: digestColumn, primaryKeyConstraintName: 'referrer_lists_pkey' })
  subject!: Digest;

  /** JSON: descriptors, verbatim. */
  @Column('text')
  descriptors!: string;

  @Column('timestamptz', { name: 'checked_at' })
  checkedAt!: Date;

  @ManyToOne(() => RepositoryRow)
  @JoinColumn({ name: 'repository_id', foreignKeyConstraintName: 'referrer_lists_repository_fkey' })
  repository!: RepositoryRow;
}
