import { Column, Entity, PrimaryGeneratedColumn, Unique } from 'typeorm';

@Entity('repositories')
@Unique('repositories_upstream_path_key', ['upstream', 'path'])
export class RepositoryRow {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'repositories_pkey',
  })
  id!: string;

  @Column({ type: 'text', collation: 'C' })
  upstream!: string;

  @Column({ type: 'text', collation: 'C' })
  path!: string;
}
