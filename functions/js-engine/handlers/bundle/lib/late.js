module.exports = (lang, uri) => `/${lang}${uri}`;
