package language

import (
	"math/big"
	"strconv"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
)

// appendString appends a JSON string. Beyond what JSON asks for, nothing is
// escaped.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[start:i]...)
				b = append(b, `\ufffd`...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendNumber appends a JSON number; most are small and whole.
func appendNumber(b []byte, f *big.Float) []byte {
	const plain = 1024 // binary digits up to which a number is written out
	if f.IsInf() {
		return append(b, "null"...) // JSON has no infinity
	}
	if e := f.MantExp(nil); e > plain || e < -plain {
		return f.Append(b, 'g', 17)
	}
	if i, accuracy := f.Int64(); accuracy == big.Exact {
		return strconv.AppendInt(b, i, 10)
	}
	return f.Append(b, 'f', -1)
}

// compact gives whole numbers the precision they need: the parser gives all of
// them 512 bits, with which each conversion to a text takes microseconds.
func compact(v cty.Value) cty.Value {
	out, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		bare, marks := v.Unmark()
		if bare.Type() != cty.Number || bare.IsNull() || !bare.IsKnown() {
			return v, nil
		}
		if i, accuracy := bare.AsBigFloat().Int64(); accuracy == big.Exact {
			return cty.NumberIntVal(i).WithMarks(marks), nil
		}
		return v, nil
	})
	if err != nil {
		panic("language: a transformation that never fails: " + err.Error())
	}
	return out
}

func numberText(v cty.Value) string { return string(appendNumber(nil, v.AsBigFloat())) }

// appendAny appends a value of any type that is known and without marks.
func appendAny(b []byte, v cty.Value) []byte {
	t := v.Type()
	switch {
	case v.IsNull():
		return append(b, "null"...)
	case t == cty.String:
		return appendString(b, v.AsString())
	case t == cty.Number:
		return appendNumber(b, v.AsBigFloat())
	case t == cty.Bool:
		return strconv.AppendBool(b, v.True())
	case t.IsObjectType() || t.IsMapType():
		b = append(b, '{')
		first := len(b)
		for it := v.ElementIterator(); it.Next(); {
			key, value := it.Element()
			if len(b) > first {
				b = append(b, ',')
			}
			b = append(appendString(b, key.AsString()), ':')
			b = appendAny(b, value)
		}
		return append(b, '}')
	case v.CanIterateElements():
		b = append(b, '[')
		first := len(b)
		for it := v.ElementIterator(); it.Next(); {
			if len(b) > first {
				b = append(b, ',')
			}
			_, value := it.Element()
			b = appendAny(b, value)
		}
		return append(b, ']')
	}
	return append(b, "null"...) // a capsule: the functions make none
}
