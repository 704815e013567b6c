CREATE FUNCTION public.add_to_totals() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      DECLARE sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
      BEGIN
        IF TG_TABLE_NAME = 'tags' THEN
          INSERT INTO totals (kind, count, bytes)
          SELECT TG_TABLE_NAME, sign * count(*), 0 FROM changed HAVING count(*) > 0;
        ELSE
          INSERT INTO totals (kind, count, bytes)
          SELECT TG_TABLE_NAME, sign * count(*), sign * sum(size) FROM changed HAVING count(*) > 0;
        END IF;
        RETURN NULL;
      END $$;

CREATE TABLE public.blobs (
    id bigint NOT NULL,
    digest bytea NOT NULL,
    size bigint NOT NULL,
    stored_at timestamp with time zone NOT NULL,
    last_access timestamp with time zone NOT NULL,
    CONSTRAINT blobs_digest_check CHECK ((octet_length(digest) = ANY (ARRAY[32, 64]))),
    CONSTRAINT blobs_size_check CHECK ((size >= 0))
);

ALTER TABLE public.blobs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.blobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.duties (
    name text NOT NULL COLLATE pg_catalog."C",
    holder text NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    done_at timestamp with time zone
)
WITH (fillfactor='80');

CREATE TABLE public.edges (
    parent_id bigint NOT NULL,
    ordinal integer NOT NULL,
    child bytea NOT NULL,
    kind text NOT NULL,
    size bigint NOT NULL,
    platform text,
    CONSTRAINT edges_child_check CHECK ((octet_length(child) = ANY (ARRAY[32, 64]))),
    CONSTRAINT edges_kind_check CHECK ((kind = ANY (ARRAY['config'::text, 'layer'::text, 'manifest'::text])))
);

CREATE TABLE public.installation (
    id text NOT NULL
);

CREATE TABLE public.manifests (
    id bigint NOT NULL,
    digest bytea NOT NULL,
    media_type text NOT NULL,
    size bigint NOT NULL,
    bytes bytea NOT NULL,
    subject bytea,
    artifact_type text,
    annotations jsonb,
    CONSTRAINT manifests_digest_check CHECK ((octet_length(digest) = ANY (ARRAY[32, 64])))
);

ALTER TABLE public.manifests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.manifests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.migrations (
    id integer NOT NULL,
    "timestamp" bigint NOT NULL,
    name character varying NOT NULL
);

CREATE SEQUENCE public.migrations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.migrations_id_seq OWNED BY public.migrations.id;

CREATE TABLE public.prune_items (
    job_id bigint NOT NULL,
    ordinal bigint NOT NULL,
    repository_id bigint NOT NULL,
    manifest_id bigint NOT NULL,
    whole boolean NOT NULL,
    tags text[] NOT NULL,
    last_access timestamp with time zone NOT NULL
);

CREATE TABLE public.prune_jobs (
    id bigint NOT NULL,
    cause text NOT NULL,
    rule jsonb NOT NULL,
    state text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    planned jsonb NOT NULL,
    removed jsonb NOT NULL,
    error text,
    CONSTRAINT prune_jobs_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'running'::text, 'done'::text, 'failed'::text, 'cancelled'::text])))
);

ALTER TABLE public.prune_jobs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.prune_jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE SEQUENCE public.pull_token
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.pulls (
    key text NOT NULL COLLATE pg_catalog."C",
    target jsonb NOT NULL,
    state text NOT NULL,
    attempt integer NOT NULL,
    token bigint NOT NULL,
    worker text NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    relay jsonb,
    size bigint,
    failure jsonb,
    previous_failure jsonb,
    previous_at timestamp with time zone,
    started_at timestamp with time zone,
    CONSTRAINT pulls_state_check CHECK ((state = ANY (ARRAY['running'::text, 'finished'::text])))
)
WITH (fillfactor='80');

CREATE TABLE public.referrer_lists (
    repository_id bigint NOT NULL,
    subject bytea NOT NULL,
    descriptors text NOT NULL,
    checked_at timestamp with time zone NOT NULL,
    CONSTRAINT referrer_lists_subject_check CHECK ((octet_length(subject) = ANY (ARRAY[32, 64])))
);

CREATE TABLE public.repositories (
    id bigint NOT NULL,
    upstream text NOT NULL COLLATE pg_catalog."C",
    path text NOT NULL COLLATE pg_catalog."C"
);

ALTER TABLE public.repositories ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.repositories_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.repository_blobs (
    blob_id bigint NOT NULL,
    repository_id bigint NOT NULL
);

CREATE TABLE public.repository_manifests (
    repository_id bigint NOT NULL,
    manifest_id bigint NOT NULL,
    media_type text,
    stored_at timestamp with time zone NOT NULL,
    last_access timestamp with time zone NOT NULL,
    last_client text
);

CREATE TABLE public.tag_history (
    id bigint NOT NULL,
    repository_id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    digest bytea,
    at timestamp with time zone NOT NULL
);

ALTER TABLE public.tag_history ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tag_history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.tag_lists (
    repository_id bigint NOT NULL,
    names text[] NOT NULL,
    checked_at timestamp with time zone NOT NULL
);

CREATE TABLE public.tags (
    repository_id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    manifest_id bigint NOT NULL,
    checked_at timestamp with time zone NOT NULL,
    moved_at timestamp with time zone NOT NULL
)
WITH (fillfactor='90');

CREATE TABLE public.totals (
    id bigint NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    count bigint NOT NULL,
    bytes bigint NOT NULL
);

ALTER TABLE public.totals ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.totals_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.upstreams (
    upstream text NOT NULL COLLATE pg_catalog."C",
    paused_until timestamp with time zone,
    pause_cause text,
    paused_counted boolean NOT NULL,
    failing_until timestamp with time zone,
    quota jsonb,
    quota_at timestamp with time zone
);

CREATE TABLE public.usage (
    at timestamp with time zone NOT NULL,
    upstream text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    hits bigint NOT NULL,
    misses bigint NOT NULL,
    failures bigint NOT NULL,
    bytes_served bigint NOT NULL,
    bytes_fetched bigint NOT NULL,
    upstream_requests bigint NOT NULL
)
WITH (fillfactor='80');

ALTER TABLE ONLY public.migrations ALTER COLUMN id SET DEFAULT nextval('public.migrations_id_seq'::regclass);

INSERT INTO public.blobs OVERRIDING SYSTEM VALUE VALUES (1, '\x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 2, '2026-11-24 01:40:18.955727+00', '2026-11-24 01:40:18.955727+00');
INSERT INTO public.blobs OVERRIDING SYSTEM VALUE VALUES (2, '\xdac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85', 5, '2026-11-24 01:40:18.95821+00', '2026-11-24 01:40:18.95821+00');

INSERT INTO public.duties VALUES ('prune', 'worker-1', '2026-01-01 00:00:00+00', '2026-01-01 00:00:00+00');

INSERT INTO public.edges VALUES (1, 1, '\x042190ac6aca1a704e70a62706e50adbb620db197a494e3d2cf00bd4f7bbece8', 'manifest', 397, 'linux/amd64');
INSERT INTO public.edges VALUES (2, 1, '\x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'config', 2, NULL);
INSERT INTO public.edges VALUES (2, 2, '\xdac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85', 'layer', 5, NULL);

INSERT INTO public.installation VALUES ('bc3841a109534e108767c510c6502fe6');

INSERT INTO public.manifests OVERRIDING SYSTEM VALUE VALUES (1, '\x142872f29cb96bd284522d9ead9e48650874debeaab151a555cf7904482d3aec', 'application/vnd.oci.image.index.v1+json', 289, '\x7b22736368656d6156657273696f6e223a322c226d6564696154797065223a226170706c69636174696f6e2f766e642e6f63692e696d6167652e696e6465782e76312b6a736f6e222c226d616e696665737473223a5b7b226d6564696154797065223a226170706c69636174696f6e2f766e642e6f63692e696d6167652e6d616e69666573742e76312b6a736f6e222c22646967657374223a227368613235363a30343231393061633661636131613730346537306136323730366535306164626236323064623139376134393465336432636630306264346637626265636538222c2273697a65223a3339372c22706c6174666f726d223a7b226f73223a226c696e7578222c22617263686974656374757265223a22616d643634227d7d5d7d', NULL, NULL, NULL);
INSERT INTO public.manifests OVERRIDING SYSTEM VALUE VALUES (2, '\x042190ac6aca1a704e70a62706e50adbb620db197a494e3d2cf00bd4f7bbece8', 'application/vnd.oci.image.manifest.v1+json', 397, '\x7b22736368656d6156657273696f6e223a322c226d6564696154797065223a226170706c69636174696f6e2f766e642e6f63692e696d6167652e6d616e69666573742e76312b6a736f6e222c22636f6e666967223a7b226d6564696154797065223a226170706c69636174696f6e2f766e642e6f63692e696d6167652e636f6e6669672e76312b6a736f6e222c22646967657374223a227368613235363a34343133366661333535623336373861313134366164313666376538363439653934666234666332316665373765383331306330363066363163616166663861222c2273697a65223a327d2c226c6179657273223a5b7b226d6564696154797065223a226170706c69636174696f6e2f766e642e6f63692e696d6167652e6c617965722e76312e7461722b677a6970222c22646967657374223a227368613235363a64616331643763666139353032313736343834396664313032353234653134313438386335653361393066383631646262356131326439616338353834663835222c2273697a65223a357d5d7d', NULL, NULL, NULL);
INSERT INTO public.manifests OVERRIDING SYSTEM VALUE VALUES (3, '\x45c8056989e997bb80c27cc4cf5fde4e07b82d170406310b73f188cf5f7ea4fd', 'application/vnd.oci.image.manifest.v1+json', 208, '\x7b22736368656d6156657273696f6e223a322c226d6564696154797065223a226170706c69636174696f6e2f766e642e6f63692e696d6167652e6d616e69666573742e76312b6a736f6e222c22617274696661637454797065223a226170706c69636174696f6e2f6578616d706c65222c227375626a656374223a7b22646967657374223a227368613235363a30343231393061633661636131613730346537306136323730366535306164626236323064623139376134393465336432636630306264346637626265636538227d7d', '\x042190ac6aca1a704e70a62706e50adbb620db197a494e3d2cf00bd4f7bbece8', 'application/example', '{"a": "b"}');

INSERT INTO public.migrations VALUES (1, 1764000000001, 'Initial1764000000001');
INSERT INTO public.migrations VALUES (2, 1764000000002, 'Upstreams1764000000002');
INSERT INTO public.migrations VALUES (3, 1764000000003, 'Lists1764000000003');
INSERT INTO public.migrations VALUES (4, 1764000000004, 'Keeping1764000000004');
INSERT INTO public.migrations VALUES (5, 1764000000005, 'Totals1764000000005');
INSERT INTO public.migrations VALUES (6, 1764000000006, 'LastClient1764000000006');

INSERT INTO public.prune_items VALUES (1, 1, 1, 1, true, '{latest}', '2026-11-24 01:40:18.943738+00');
INSERT INTO public.prune_items VALUES (3, 1, 1, 1, true, '{latest}', '2026-11-24 01:40:18.943738+00');

INSERT INTO public.prune_jobs OVERRIDING SYSTEM VALUE VALUES (1, 'operator', '{}', 'planned', '2026-01-01 00:00:00+00', NULL, '{"tags": 1, "blobs": 0, "bytes": 0, "images": 1, "manifests": 1}', '{"tags": 0, "blobs": 0, "bytes": 0, "images": 0, "manifests": 0}', NULL);
INSERT INTO public.prune_jobs OVERRIDING SYSTEM VALUE VALUES (2, 'request', '{"patterns": ["nothing"]}', 'planned', '2026-11-25 08:12:20.230682+00', NULL, '{"tags": 0, "blobs": 0, "bytes": 0, "images": 0, "manifests": 0, "protected": 0, "everything": false}', '{"tags": 0, "blobs": 0, "bytes": 0, "images": 0, "manifests": 0}', NULL);
INSERT INTO public.prune_jobs OVERRIDING SYSTEM VALUE VALUES (3, 'request', '{"patterns": ["alpine"]}', 'planned', '2026-11-25 08:12:20.291387+00', NULL, '{"tags": 1, "blobs": 1, "bytes": 688, "images": 1, "manifests": 2, "protected": 0, "everything": false}', '{"tags": 0, "blobs": 0, "bytes": 0, "images": 0, "manifests": 0}', NULL);

INSERT INTO public.pulls VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '{"kind": "manifest", "reference": "latest", "repository": {"path": "library/alpine", "upstream": "docker.io"}}', 'running', 1, 1, 'puller-1', '2026-11-24 01:40:33.961969+00', '2026-11-24 01:40:18.964059+00', '{"url": "http://192.0.2.1:8082", "token": "x", "transfer": "t"}', 5, NULL, NULL, NULL, NULL);
INSERT INTO public.pulls VALUES ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', '{"kind": "manifest", "reference": "missing", "repository": {"path": "library/alpine", "upstream": "docker.io"}}', 'finished', 1, 2, 'puller-2', '2026-11-24 01:40:33.965073+00', '2026-11-24 01:40:18.966367+00', NULL, NULL, '{"origin": "upstream", "reason": "MANIFEST_UNKNOWN", "message": "manifest unknown", "retryable": false}', NULL, NULL, '2026-11-24 01:40:15.966367+00');

INSERT INTO public.referrer_lists VALUES (2, '\x042190ac6aca1a704e70a62706e50adbb620db197a494e3d2cf00bd4f7bbece8', '[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:45c8056989e997bb80c27cc4cf5fde4e07b82d170406310b73f188cf5f7ea4fd","size":208,"artifactType":"application/example","annotations":{"a":"b\u0000"}}]', '2026-11-24 04:26:39.387223+00');

INSERT INTO public.repositories OVERRIDING SYSTEM VALUE VALUES (1, 'docker.io', 'library/alpine');
INSERT INTO public.repositories OVERRIDING SYSTEM VALUE VALUES (2, 'ghcr.io', 'example/app');

INSERT INTO public.repository_blobs VALUES (1, 1);
INSERT INTO public.repository_blobs VALUES (2, 1);
INSERT INTO public.repository_blobs VALUES (2, 2);

INSERT INTO public.repository_manifests VALUES (1, 2, NULL, '2026-11-24 01:40:18.94767+00', '2026-11-24 01:40:18.94767+00', NULL);
INSERT INTO public.repository_manifests VALUES (2, 3, NULL, '2026-11-24 01:40:18.949384+00', '2026-11-24 01:40:18.949384+00', NULL);
INSERT INTO public.repository_manifests VALUES (1, 1, NULL, '2026-11-24 01:40:18.943738+00', '2026-11-25 11:59:01.859+00', '10.1.2.3 containerd/2.1.4');

INSERT INTO public.tag_history OVERRIDING SYSTEM VALUE VALUES (1, 1, 'latest', '\x142872f29cb96bd284522d9ead9e48650874debeaab151a555cf7904482d3aec', '2026-11-24 01:40:18.943924+00');
INSERT INTO public.tag_history OVERRIDING SYSTEM VALUE VALUES (2, 2, '1.0', '\x45c8056989e997bb80c27cc4cf5fde4e07b82d170406310b73f188cf5f7ea4fd', '2026-11-24 01:40:18.949397+00');
INSERT INTO public.tag_history OVERRIDING SYSTEM VALUE VALUES (3, 1, 'gone', '\x042190ac6aca1a704e70a62706e50adbb620db197a494e3d2cf00bd4f7bbece8', '2026-11-24 01:40:18.951375+00');
INSERT INTO public.tag_history OVERRIDING SYSTEM VALUE VALUES (4, 1, 'gone', NULL, '2026-11-24 01:40:18.952481+00');

INSERT INTO public.tag_lists VALUES (1, '{3.22,latest}', '2026-11-24 04:26:39.384345+00');

INSERT INTO public.tags VALUES (1, 'latest', 1, '2026-11-24 01:40:18.943924+00', '2026-11-24 01:40:18.943924+00');
INSERT INTO public.tags VALUES (2, '1.0', 3, '2026-11-24 01:40:18.949397+00', '2026-11-24 01:40:18.949397+00');

INSERT INTO public.totals OVERRIDING SYSTEM VALUE VALUES (1, 'manifests', 3, 894);
INSERT INTO public.totals OVERRIDING SYSTEM VALUE VALUES (2, 'tags', 2, 0);
INSERT INTO public.totals OVERRIDING SYSTEM VALUE VALUES (3, 'blobs', 2, 7);

INSERT INTO public.upstreams VALUES ('docker.io', '2026-11-24 05:00:00+00', 'rate-limited', true, NULL, '{"limit": 100, "window": 21600, "remaining": 0}', '2026-11-24 04:00:00+00');

INSERT INTO public.usage VALUES ('2026-01-01 00:00:00+00', 'docker.io', 'blob', 3, 1, 0, 4000, 1000, 1);

SELECT pg_catalog.setval('public.blobs_id_seq', 2, true);

SELECT pg_catalog.setval('public.manifests_id_seq', 3, true);

SELECT pg_catalog.setval('public.migrations_id_seq', 6, true);

SELECT pg_catalog.setval('public.prune_jobs_id_seq', 3, true);

SELECT pg_catalog.setval('public.pull_token', 2, true);

SELECT pg_catalog.setval('public.repositories_id_seq', 2, true);

SELECT pg_catalog.setval('public.tag_history_id_seq', 4, true);

SELECT pg_catalog.setval('public.totals_id_seq', 3, true);

ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT "PK_8c82d7f526340ab734260ea46be" PRIMARY KEY (id);

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_digest_key UNIQUE (digest);

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.duties
    ADD CONSTRAINT duties_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.edges
    ADD CONSTRAINT edges_pkey PRIMARY KEY (parent_id, ordinal);

ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.manifests
    ADD CONSTRAINT manifests_digest_key UNIQUE (digest);

ALTER TABLE ONLY public.manifests
    ADD CONSTRAINT manifests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.prune_items
    ADD CONSTRAINT prune_items_pkey PRIMARY KEY (job_id, ordinal);

ALTER TABLE ONLY public.prune_jobs
    ADD CONSTRAINT prune_jobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.pulls
    ADD CONSTRAINT pulls_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.referrer_lists
    ADD CONSTRAINT referrer_lists_pkey PRIMARY KEY (repository_id, subject);

ALTER TABLE ONLY public.repositories
    ADD CONSTRAINT repositories_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.repositories
    ADD CONSTRAINT repositories_upstream_path_key UNIQUE (upstream, path);

ALTER TABLE ONLY public.repository_blobs
    ADD CONSTRAINT repository_blobs_pkey PRIMARY KEY (blob_id, repository_id);

ALTER TABLE ONLY public.repository_manifests
    ADD CONSTRAINT repository_manifests_pkey PRIMARY KEY (repository_id, manifest_id);

ALTER TABLE ONLY public.tag_history
    ADD CONSTRAINT tag_history_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tag_lists
    ADD CONSTRAINT tag_lists_pkey PRIMARY KEY (repository_id);

ALTER TABLE ONLY public.tags
    ADD CONSTRAINT tags_pkey PRIMARY KEY (repository_id, name);

ALTER TABLE ONLY public.totals
    ADD CONSTRAINT totals_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.upstreams
    ADD CONSTRAINT upstreams_pkey PRIMARY KEY (upstream);

ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (at, upstream, kind);

CREATE INDEX blobs_last_access_idx ON public.blobs USING btree (last_access);

CREATE INDEX edges_child_idx ON public.edges USING btree (child, parent_id);

CREATE INDEX manifests_subject_idx ON public.manifests USING btree (subject) WHERE (subject IS NOT NULL);

CREATE INDEX pulls_changed_at_idx ON public.pulls USING btree (changed_at);

CREATE INDEX repository_manifests_last_access_idx ON public.repository_manifests USING btree (last_access);

CREATE INDEX repository_manifests_manifest_idx ON public.repository_manifests USING btree (manifest_id);

CREATE INDEX tag_history_at_idx ON public.tag_history USING btree (at);

CREATE INDEX tag_history_tag_idx ON public.tag_history USING btree (repository_id, name, at);

CREATE INDEX tags_held_idx ON public.tags USING btree (repository_id, manifest_id);

CREATE TRIGGER blobs_removed AFTER DELETE ON public.blobs REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.add_to_totals();

CREATE TRIGGER blobs_stored AFTER INSERT ON public.blobs REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.add_to_totals();

CREATE TRIGGER manifests_removed AFTER DELETE ON public.manifests REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.add_to_totals();

CREATE TRIGGER manifests_stored AFTER INSERT ON public.manifests REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.add_to_totals();

CREATE TRIGGER tags_removed AFTER DELETE ON public.tags REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.add_to_totals();

CREATE TRIGGER tags_stored AFTER INSERT ON public.tags REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.add_to_totals();

ALTER TABLE ONLY public.edges
    ADD CONSTRAINT edges_parent_fkey FOREIGN KEY (parent_id) REFERENCES public.manifests(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.prune_items
    ADD CONSTRAINT prune_items_job_fkey FOREIGN KEY (job_id) REFERENCES public.prune_jobs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.referrer_lists
    ADD CONSTRAINT referrer_lists_repository_fkey FOREIGN KEY (repository_id) REFERENCES public.repositories(id);

ALTER TABLE ONLY public.repository_blobs
    ADD CONSTRAINT repository_blobs_blob_fkey FOREIGN KEY (blob_id) REFERENCES public.blobs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.repository_blobs
    ADD CONSTRAINT repository_blobs_repository_fkey FOREIGN KEY (repository_id) REFERENCES public.repositories(id);

ALTER TABLE ONLY public.repository_manifests
    ADD CONSTRAINT repository_manifests_manifest_fkey FOREIGN KEY (manifest_id) REFERENCES public.manifests(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.repository_manifests
    ADD CONSTRAINT repository_manifests_repository_fkey FOREIGN KEY (repository_id) REFERENCES public.repositories(id);

ALTER TABLE ONLY public.tag_history
    ADD CONSTRAINT tag_history_repository_fkey FOREIGN KEY (repository_id) REFERENCES public.repositories(id);

ALTER TABLE ONLY public.tag_lists
    ADD CONSTRAINT tag_lists_repository_fkey FOREIGN KEY (repository_id) REFERENCES public.repositories(id);

ALTER TABLE ONLY public.tags
    ADD CONSTRAINT tags_held_fkey FOREIGN KEY (repository_id, manifest_id) REFERENCES public.repository_manifests(repository_id, manifest_id) ON DELETE CASCADE;

