import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { Digest } from '#oci';
import { digestColumn } from '../postgres/digest-column.js';
import { RepositoryManifestRow } from './manifest.js';
import { RepositoryRow } from './repository.js';

@Entity('tags')
@Index('tags_held_idx', ['repositoryId', 'manifestId'])
export class TagRow {
  @PrimaryColumn('bigint', { name: 'repository_id', primaryKeyConstraintName: 'tags_pkey' })
  repositoryId!: string;

  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'tags_pkey' })
  name!: string;

  @Column('bigint', { name: 'manifest_id' })
  manifestId!: string;

  /** When the upstream last confirmed it. */
  @Column('timestamptz', { name: 'checked_at' })
  checkedAt!: Date;

  /** Since when it names this manifest. */
  @Column('timestamptz', { name: 'moved_at' })
  movedAt!: Date;

  @ManyToOne(() => RepositoryManifestRow, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'repository_id', referencedColumnName: 'repositoryId', foreignKeyConstraintName: 'tags_held_fkey' },
    { name: 'manifest_id', referencedColumnName: 'manifestId', foreignKeyConstraintName: 'tags_held_fkey' },
  ])
  held!: RepositoryManifestRow;
}

/** One row for every time a tag came to name something else. */
@Entity('tag_history')
@Index('tag_history_tag_idx', ['repositoryId', 'name', 'at'])
export class TagHistoryRow {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'tag_history_pkey',
  })
  id!: string;

  @Column('bigint', { name: 'repository_id' })
  repositoryId!: string;

  @Column({ type: 'text', collation: 'C' })
  name!: string;

  /** Null: the upstream said that the tag is gone. */
  @Column('bytea', { nullable: true, transformer: digestColumn })
  digest!: Digest | null;

  @Index('tag_history_at_idx')
  @Column('timestamptz')
  at!: Date;

  @ManyToOne(() => RepositoryRow)
  @JoinColumn({ name: 'repository_id', foreignKeyConstraintName: 'tag_history_repository_fkey' })
  repository!: RepositoryRow;
}
