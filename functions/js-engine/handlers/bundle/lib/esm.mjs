export default (lang) => lang.slice(0, 2).toLowerCase();
