-- A catalog large enough that PostgreSQL prefers indexes where it has them.
INSERT INTO repositories (upstream, path) SELECT 'docker.io', 'library/r' || n FROM generate_series(1, 20000) n;
INSERT INTO manifests (digest, media_type, size, bytes, subject)
  SELECT sha256(('m' || n)::bytea), 'application/vnd.oci.image.manifest.v1+json', 10, '\x00',
         CASE WHEN n % 50 = 0 THEN sha256(('m' || n / 2)::bytea) END
  FROM generate_series(1, 5000) n;
INSERT INTO repository_manifests
  SELECT r.id, m.id, NULL, now(), now() - m.id * interval '1 minute'
  FROM manifests m JOIN repositories r ON r.id = m.id;
INSERT INTO edges SELECT m.id, o, sha256(('b' || (m.id * 3 + o) % 20000)::bytea), 'layer', 100, NULL
  FROM manifests m, generate_series(1, 8) o;
INSERT INTO tags SELECT repository_id, 't' || manifest_id, manifest_id, now(), now() FROM repository_manifests;
INSERT INTO blobs (digest, size, stored_at, last_access)
  SELECT sha256(('b' || n)::bytea), 100, now(), now() - n * interval '1 minute' FROM generate_series(1, 20000) n;
INSERT INTO repository_blobs SELECT b.id, r.id FROM blobs b JOIN repositories r ON r.id = b.id;
INSERT INTO pulls SELECT md5(n::text), '{}', CASE WHEN n % 10 = 0 THEN 'running' ELSE 'finished' END, 1, n, 'w', now(),
    now() - n * interval '1 minute' FROM generate_series(1, 20000) n;
INSERT INTO tag_lists SELECT id, ARRAY['latest'], now() FROM repositories;
INSERT INTO referrer_lists SELECT id, sha256(('m' || id)::bytea), '[]', now() FROM repositories;
ANALYZE;
