import type { Explanation, ImageDetail, ImageNode } from './api.js';
import { ago, bytes, duration, short } from './format.js';
import { Card, Trouble } from './parts.js';
import { useApi } from './use.js';

export function ImagePage({ reference }: { reference: string }) {
  const ref = encodeURIComponent(reference);
  const { data: image, error } = useApi<ImageDetail>(`image?ref=${ref}`);
  const { data: explained } = useApi<Explanation>(`explain?ref=${ref}`);
  if (!image) return <Trouble error={error} />;
  return (
    <>
      <section>
        <h2>{image.reference}</h2>
        <div class="cards">
          <Card title="Size" value={bytes(image.size)} note="all that is held of it" />
          <Card title="Last used" value={ago(image.lastAccess)} note={`stored ${ago(image.storedAt)}`} />
          {image.tree.lastClient && <Card title="Last asked for by" value={image.tree.lastClient} />}
          <Card title="Digest" value={<code>{short(image.digest)}</code>} note={image.mediaType} />
        </div>
      </section>
      {explained && (
        <section>
          <h2>
            A pull now: {explained.verdict}
            {explained.tag && (
              <small>
                the tag is {explained.tag.freshness}, confirmed {duration(explained.tag.age)} ago
              </small>
            )}
          </h2>
          <ul>
            {explained.why.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <h2>Content</h2>
        <Node node={image.tree} />
      </section>
      {image.history.length > 0 && (
        <section>
          <h2>History of the tag</h2>
          <table>
            <tbody>
              {image.history.map(({ at, digest }) => (
                <tr key={at}>
                  <td>{ago(at)}</td>
                  <td>{digest ? <code>{digest}</code> : 'the upstream had removed it'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </>
  );
}

function Node({ node }: { node: ImageNode }) {
  return (
    <details open={node.held}>
      <summary class={node.held ? '' : 'absent'}>
        {node.platform ?? 'manifest'} <code>{short(node.digest)}</code> {bytes(node.size)}
        {node.held ? '' : ' – not cached'}
      </summary>
      {node.contents.length > 0 && (
        <table>
          <tbody>
            {node.contents.map(({ digest, kind, size, held, sharedBy }) => (
              <tr key={digest} class={held ? '' : 'absent'}>
                <td>{kind}</td>
                <td>
                  <code>{short(digest)}</code>
                </td>
                <td class="number">{bytes(size)}</td>
                <td>{held ? (sharedBy.length > 0 ? `also in ${sharedBy.join(', ')}` : '') : 'not cached'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {node.children.map((child) => (
        <Node key={child.digest} node={child} />
      ))}
    </details>
  );
}
