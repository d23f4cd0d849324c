// Package xmltree is XML as libvirt speaks it: a tree of elements that have
// attributes, and either children or text. It is read, changed in place and
// written again.
//
//	n, err := xmltree.Parse(definition)
//	n.Child("memory").Text = "262144"
//	for _, nic := range n.At("devices").All("interface") { … nic.At("mac").Get("address") … }
//	text := n.String()
//
// Prefixes of namespaces stay parts of the names ("weft:owner"), as they are
// written. Comments, processing instructions and white space between elements
// are dropped: they mean nothing to libvirt.
package xmltree

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Node is an element.
type Node struct {
	Name     string
	Attrs    []Attr
	Children []*Node
	Text     string // without the white space around it; of an element without children
}

// Attr is an attribute of an element.
type Attr struct{ Name, Value string }

// deepest is how deep elements may lie in one another. libvirt's lie a dozen
// deep.
const deepest = 64

// Parse reads one element with all that is in it. The error says the line.
func Parse(text string) (*Node, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	var root *Node
	var open []*Node
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read XML: %w", err)
		}
		wrong := ""
		switch t := token.(type) {
		case xml.StartElement:
			n := begin(t)
			switch {
			case len(open) == deepest:
				wrong = "elements lie too deep in one another"
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.Children = append(parent.Children, n)
			case root != nil:
				wrong = "there is a second element after the first"
			default:
				root = n
			}
			open = append(open, n)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1].Name != qualified(t.Name) {
				wrong = "</" + qualified(t.Name) + "> ends nothing"
				break
			}
			open[len(open)-1].end()
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].Text += string(t)
			} else if strings.TrimSpace(string(t)) != "" {
				wrong = "there is text outside of all elements"
			}
		}
		if wrong != "" {
			line, _ := d.InputPos()
			return nil, fmt.Errorf("read XML: line %d: %s", line, wrong)
		}
	}
	if root == nil || len(open) > 0 {
		return nil, errors.New("read XML: it ends before its element does")
	}
	return root, nil
}

func begin(t xml.StartElement) *Node {
	n := &Node{Name: qualified(t.Name)}
	for _, a := range t.Attr {
		n.Set(qualified(a.Name), a.Value)
	}
	return n
}

func (n *Node) end() {
	n.Text = strings.TrimSpace(n.Text)
	if len(n.Children) > 0 {
		n.Text = ""
	}
}

func qualified(name xml.Name) string {
	if name.Space == "" {
		return name.Local
	}
	return name.Space + ":" + name.Local
}

// String is the element as text, indented by two spaces a level as libvirt does.
func (n *Node) String() string {
	var b strings.Builder
	n.write(&b, "")
	return b.String()
}

func (n *Node) write(b *strings.Builder, indent string) {
	b.WriteString(indent + "<" + n.Name)
	for _, a := range n.Attrs {
		b.WriteString(" " + a.Name + `="` + escaper.Replace(a.Value) + `"`)
	}
	switch {
	case len(n.Children) > 0:
		b.WriteString(">\n")
		for _, c := range n.Children {
			c.write(b, indent+"  ")
		}
		b.WriteString(indent + "</" + n.Name + ">\n")
	case n.Text != "":
		b.WriteString(">" + escaper.Replace(n.Text) + "</" + n.Name + ">\n")
	default:
		b.WriteString("/>\n")
	}
}

// escaper keeps new lines in values, which a reader would make spaces of.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\r", "&#13;", "\t", "&#9;")

// Get is an attribute, empty where there is none. A nil element has none.
func (n *Node) Get(name string) string {
	if n != nil {
		for _, a := range n.Attrs {
			if a.Name == name {
				return a.Value
			}
		}
	}
	return ""
}

// Has says whether the element has an attribute.
func (n *Node) Has(name string) bool {
	return slices.ContainsFunc(n.Attrs, func(a Attr) bool { return a.Name == name })
}

// Set gives an attribute a value.
func (n *Node) Set(name, value string) {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			n.Attrs[i].Value = value
			return
		}
	}
	n.Attrs = append(n.Attrs, Attr{name, value})
}

// Drop takes an attribute away, if it is there.
func (n *Node) Drop(name string) {
	n.Attrs = slices.DeleteFunc(n.Attrs, func(a Attr) bool { return a.Name == name })
}

// At is the first child of a name; nil where there is none, also of a nil
// element.
func (n *Node) At(name string) *Node {
	if n == nil {
		return nil
	}
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// All are the children of a name, in order.
func (n *Node) All(name string) []*Node {
	var all []*Node
	if n != nil {
		for _, c := range n.Children {
			if c.Name == name {
				all = append(all, c)
			}
		}
	}
	return all
}

// Child is the first child of a name, made where there is none.
func (n *Node) Child(name string) *Node {
	if c := n.At(name); c != nil {
		return c
	}
	return n.Add(&Node{Name: name})
}

// Add appends a child and returns it.
func (n *Node) Add(c *Node) *Node {
	n.Children = append(n.Children, c)
	n.Text = ""
	return c
}

// Remove takes a child away.
func (n *Node) Remove(c *Node) {
	n.Children = slices.DeleteFunc(n.Children, func(x *Node) bool { return x == c })
}

// Clone is a copy that shares nothing with n.
func (n *Node) Clone() *Node {
	c := &Node{Name: n.Name, Attrs: slices.Clone(n.Attrs), Text: n.Text}
	for _, child := range n.Children {
		c.Children = append(c.Children, child.Clone())
	}
	return c
}
