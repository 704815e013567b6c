import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who asked for a manifest last. */
export class LastClient1764000000006 implements MigrationInterface {
  readonly name = 'LastClient1764000000006';

  async up(runner: QueryRunner): Promise<void> {
    // Null where nobody has asked since, or the release before wrote it.
    await runner.query(`ALTER TABLE repository_manifests ADD COLUMN last_client text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE repository_manifests DROP COLUMN last_client`);
  }
}
