// Makes an element: `properties` are set on it, `children` (elements, or text) go into it.
export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
