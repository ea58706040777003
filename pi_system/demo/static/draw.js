// Bytes to pictures: one byte an element, (C, H, W), as the server's view.py says.

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function put(canvas, width, height, pixel) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [red, green, blue, alpha] = pixel(x, y);
      image.data.set([red, green, blue, alpha], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
}

// The user's own file, at most 512 pixels a side.
export function drawFile(canvas, bitmap) {
  const scale = Math.min(1, 512 / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

// A picture of one or three channels, in its colours.
export function drawPicture(canvas, painted) {
  const [channels, height, width] = painted.shape;
  const bytes = bytesOf(painted.bytes);
  const at = (channel, x, y) => bytes[(channel % channels) * height * width + y * width + x];
  put(canvas, width, height, (x, y) => [at(0, x, y), at(1, x, y), at(2, x, y), 255]);
}

// Any number of channels, grey, side by side in a mosaic about as high as wide.
export function drawMosaic(canvas, painted) {
  const [channels, height, width] = painted.shape;
  const bytes = bytesOf(painted.bytes);
  const gap = height * width > 1 ? 1 : 0;
  const columns = Math.min(channels, Math.ceil(Math.sqrt((channels * (height + gap)) / (width + gap))));
  const rows = Math.ceil(channels / columns);
  put(canvas, columns * (width + gap) - gap, rows * (height + gap) - gap, (x, y) => {
    const [column, row] = [Math.floor(x / (width + gap)), Math.floor(y / (height + gap))];
    const [inX, inY, channel] = [x % (width + gap), y % (height + gap), row * columns + column];
    if (inX >= width || inY >= height || channel >= channels) return [0, 0, 0, 0];
    const grey = bytes[channel * height * width + inY * width + inX];
    return [grey, grey, grey, 255];
  });
}

// How often each of the 256 values came, four to a bar, with a line where all would be alike.
export function drawHistogram(canvas, counts) {
  const bars = [];
  for (let first = 0; first < counts.length; first += 4) bars.push(counts.slice(first, first + 4).reduce((a, b) => a + b));
  const style = getComputedStyle(canvas);
  const even = bars.reduce((a, b) => a + b) / bars.length;
  const most = Math.max(...bars, 2 * even);
  const [width, height] = [512, 192];
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.fillStyle = style.getPropertyValue("--strong");
  const step = width / bars.length;
  bars.forEach((count, index) => {
    const tall = (count / most) * height;
    context.fillRect(index * step, height - tall, step - 1, tall);
  });
  context.fillStyle = style.getPropertyValue("--bad");
  context.fillRect(0, height - (even / most) * height - 1, width, 2);
}
