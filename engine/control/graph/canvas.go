package graph

import (
	"fmt"
	"strings"
)

// The measures of an SVG, in its units. The font is of fixed width, so that
// what a text takes is known without looking at fonts.
const (
	lineHeight = 16
	fontSize   = 12
	padding    = 10
	gap        = 24 // between cards
)

// across is how wide so many columns are; a little wider than in any usual font.
func across(columns int) int { return (columns*74 + 9) / 10 }

// A canvas collects the elements of an SVG. Those put on the ground are drawn
// before all others, so that lines are not in the way of text.
type canvas struct {
	ground, over strings.Builder
}

func (c *canvas) rect(x, y, w, h int, class string) {
	fmt.Fprintf(&c.over, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="4"/>`+"\n", class, x, y, w, h)
}

func (c *canvas) mark(x, y int, class string) {
	fmt.Fprintf(&c.over, `<rect class="%s" x="%d" y="%d" width="7" height="7"/>`+"\n", class, x, y)
}

func (c *canvas) dot(x, y int, class string) {
	fmt.Fprintf(&c.over, `<circle class="%s" cx="%d" cy="%d" r="5"/>`+"\n", class, x, y)
}

// dotted is the end of a line.
func (c *canvas) dotted(x, y int, class string) {
	fmt.Fprintf(&c.over, `<circle class="%s" cx="%d" cy="%d" r="2.5"/>`+"\n", class, x, y)
}

// text writes at a base line.
func (c *canvas) text(x, y int, class, text string) {
	fmt.Fprintf(&c.over, `<text class="%s" x="%d" y="%d">%s</text>`+"\n", class, x, y, escaped(text))
}

// curve draws a cubic Bézier curve, on the ground or over what was drawn.
func curve(into *strings.Builder, class string, x1, y1, x2, y2, x3, y3, x4, y4 int) {
	fmt.Fprintf(into, `<path class="%s" d="M%d %dC%d %d %d %d %d %d"/>`+"\n", class, x1, y1, x2, y2, x3, y3, x4, y4)
}

// pill writes a text on ground of its own.
func (c *canvas) pill(a area, class, text string) {
	fmt.Fprintf(&c.over, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="9"/>`+"\n", class, a.x, a.y, a.w, a.h)
	c.text(a.x+6, a.y+13, "t", text)
}

// document is the SVG. What is text stands on ground of its own, so the page
// behind may be light or dark.
func (c *canvas) document(width, height int, title string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" class="weft" role="img" width="%d" height="%d" viewBox="0 0 %d %d" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="%d">
<title>%s</title>
<style>
%s</style>
%s%s</svg>
`, width, height, width, height, fontSize, escaped(title), style, c.ground.String(), c.over.String())
}

const style = `.weft text { fill: #1b2636; white-space: pre }
.weft .b { font-weight: bold }
.weft .s { fill: #4d5b6e }
.weft .w { fill: #b3261e }
.weft path { fill: none; stroke-width: 1.6 }
.weft .card { fill: #f4f6fa; stroke: #7d8da5 }
.weft .lost { fill: #fbeceb; stroke: #b3261e; stroke-dasharray: 5 3 }
.weft .ovs { fill: #ffffff; stroke: #2f6fb3 }
.weft .linux { fill: #ffffff; stroke: #4d8052 }
.weft .links { fill: #ffffff; stroke: #a6b1c2 }
.weft .switch { fill: #f7f2fb; stroke: #7a4fa3 }
.weft .router { fill: #fdf5ec; stroke: #b0701f }
.weft .nic { fill: #5f6b7a }
.weft .internal { fill: #2f6fb3 }
.weft .bond { fill: #c28a10 }
.weft .patch { fill: #8b3fa0 }
.weft .tunnel { fill: #127d7d }
.weft .guest { fill: #4d8f3a }
.weft .more { fill: #c3cbd8 }
.weft .vlan { fill: #2f6fb3 }
.weft path.patch { fill: none; stroke: #8b3fa0 }
.weft path.vlan { fill: none; stroke: #2f6fb3; stroke-dasharray: 3 3 }
.weft path.route { fill: none; stroke: #b0701f }
.weft path.tunnel { fill: none; stroke: #2a9494 }
.weft path.wrong { fill: none; stroke: #d2453c; stroke-dasharray: 6 4 }
.weft .pill { fill: #e2f2f2; stroke: #2a9494 }
.weft .pillwrong { fill: #fbeceb; stroke: #d2453c }
.weft .m0 { fill: #127d7d }
.weft .m1 { fill: #c28a10 }
.weft .m2 { fill: #8b3fa0 }
.weft .m3 { fill: #2f6fb3 }
.weft .m4 { fill: #b3261e }
.weft .m5 { fill: #4d8f3a }
`

// meshColours is how many classes m0, m1, … there are.
const meshColours = 6
