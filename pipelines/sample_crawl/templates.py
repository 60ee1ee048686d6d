"""Four layouts of web pages, to be filled with str.format: HTML5, XHTML of divs, a blog, and hand-written HTML."""

HEAD = """{charset}<title>{title} | {site}</title>
<meta name="viewport" content="width=device-width">
{robots}<link rel="stylesheet" href="/static/site.css">
<script>window.page = {{"ready": false}};</script>"""

TEMPLATES = {
    "semantic": """<!DOCTYPE html>
<html lang="{language}"><head>
{head}
</head><body>
<div id="cookie-banner" class="cookie-banner" role="dialog">{cookies}</div>
<header class="site-header"><nav class="main-nav">{nav}</nav></header>
<nav class="breadcrumbs" aria-label="breadcrumb">{crumbs}</nav>
<main><article>
<h1>{title}</h1>
{body}
</article></main>
<aside class="sidebar">{related}</aside>
<footer class="site-footer">{footer}</footer>
</body></html>
""",
    "blocks": """<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
  "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" lang="{language}"><head>
{head}
</head><body>
<div id="header"><div id="menu" class="navigation">{nav}</div></div>
<div class="breadcrumb">{crumbs}</div>
<div id="wrapper">
<div id="sidebar" class="sidebar">{related}</div>
<div id="content" class="content">
<h1>{title}</h1>
{body}
</div></div>
<div id="footer" class="footer">{footer}</div>
<div class="cookie-consent" id="cookies">{cookies}</div>
</body></html>
""",
    "blog": """<!DOCTYPE html>
<html lang="{language}"><head>
{head}
</head><body class="single-post">
<header role="banner"><nav role="navigation">{nav}</nav></header>
<div class="container"><main id="main" role="main">
<article class="post">
<header><h1 class="entry-title">{title}</h1><div class="post-meta"><time datetime="{date}">{date}</time></div></header>
<div class="entry-content">
{body}
</div></article>
<section class="related-posts">{related}</section>
</main></div>
<footer role="contentinfo">{footer}</footer>
<div class="gdpr-cookie-notice">{cookies}</div>
</body></html>
""",
    "plain": """<html><head>
{head}
</head><body>
<div class="nav">{nav}</div>
<div class="main">
<h1>{title}</h1>
{body}
</div>
<div class="footer">{footer}</div>
</body></html>
""",
}
