// What the page asks its server for; an error is the server's one line.

async function checked(response) {
  if (response.ok) return response.json();
  let line = `${response.status} ${response.statusText}`;
  try {
    line = (await response.json()).error;
  } catch {
    // not the page's own answer: the status says it
  }
  throw new Error(line);
}

export const get = async (path) => checked(await fetch(path));

export async function start(picture, choice) {
  const query = new URLSearchParams(choice);
  return (await checked(await fetch(`/api/runs?${query}`, { method: "POST", body: picture }))).run;
}

// Calls onEvent with every event of a run; resolves with the last one, or throws its message.
export function follow(run, onEvent) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(`/api/runs/${run}/events`);
    source.onmessage = (message) => {
      const event = JSON.parse(message.data);
      onEvent(event);
      if (event.event !== "done" && event.event !== "failed") return;
      source.close();
      if (event.event === "done") resolve(event);
      else reject(new Error(event.message));
    };
    source.onerror = () => {
      source.close();
      reject(new Error("pi-client demo does not answer: was it stopped?"));
    };
  });
}
