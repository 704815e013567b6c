/** $1 upstream, $2 path; gives `repository (id)`, empty when another transaction is just making it. */
export const repository = `
WITH new_repository AS (
  INSERT INTO repositories (upstream, path)
  SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM repositories WHERE upstream = $1 AND path = $2)
  ON CONFLICT DO NOTHING
  RETURNING id
), repository AS (
  SELECT id FROM new_repository
  UNION ALL SELECT id FROM repositories WHERE upstream = $1 AND path = $2
)`;
