import { useEffect, useState } from 'preact/hooks';
import { ImagePage } from './image.js';
import { Images } from './images.js';
import { Overview } from './overview.js';
import { Pulls } from './pulls.js';
import { Upstreams } from './upstreams.js';

const PAGES = { '': 'Overview', pulls: 'Pulls', images: 'Images', upstreams: 'Upstreams' };

/** The page is in the part of the address behind `#`, so that the server has one document. */
function usePlace(): string {
  const [place, setPlace] = useState(location.hash.slice(2));
  useEffect(() => {
    const moved = () => setPlace(location.hash.slice(2));
    window.addEventListener('hashchange', moved);
    return () => window.removeEventListener('hashchange', moved);
  }, []);
  return place;
}

export function App() {
  const place = usePlace();
  const [name = '', ...rest] = place.split('/');
  return (
    <>
      <header>
        <h1>ociregistry</h1>
        <nav>
          {Object.entries(PAGES).map(([key, title]) => (
            <a
              key={key}
              href={`#/${key}`}
              aria-current={name === key || (key === 'images' && name === 'image') ? 'page' : undefined}
            >
              {title}
            </a>
          ))}
          <a href="docs">API</a>
        </nav>
      </header>
      <main>
        {name === 'pulls' ? (
          <Pulls />
        ) : name === 'images' ? (
          <Images />
        ) : name === 'image' ? (
          <ImagePage reference={decodeURIComponent(rest.join('/'))} />
        ) : name === 'upstreams' ? (
          <Upstreams />
        ) : (
          <Overview />
        )}
      </main>
    </>
  );
}
