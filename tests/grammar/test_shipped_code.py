# ruff: noqa: E501
"""Shipped grammars of programming languages: texts that show each part, texts that are wrong, real files if named.

`STRUCTGEN_SOURCES` is a folder with one folder of real source files for each of `go`, `c`, `java` and `javascript`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import shipped

SUFFIXES = {"go": (".go",), "c": (".c", ".h"), "java": (".java",), "javascript": (".js", ".mjs")}

GO = """
package main // a comment

import (
	"fmt"
	. "strings"
	str "strconv"
)

const (
	a, b = iota, 0x1F_FF
	c
)

/** a doc comment
 * of several lines */
/***
 * stars ***/
type Pair[K comparable, V any] struct {
	Key   K `json:"key"`
	Value *V
	fmt.Stringer
	x, y  [2][]map[string]chan<- int
}

type Number interface {
	~int | ~float64
	String() string
}

type Sets[E comparable, S []E, P *E] []S
type Ordered[S map[K]V, K ~int | ~string, V func(int) K] struct{ Sets[K, []K, *K]; n [len(x) * 2]V }
func Send[T any, C chan T | <-chan T, P *T, A [2]T,](c C, _ ...P) A { panic(c) }
func (p *Pair[K, V]) Get(keys ...K) (v V, err error) {
	for i, k := range keys {
		if k == p.Key && i < len(keys) || !(i != 0) {
			return *p.Value, nil
		} else if x, ok := any(k).(fmt.Stringer); ok {
			defer func() { recover() }()
			go p.run(x, func(i int) int { return i << 2 &^ 1 }(3))
		}
	}
outer:
	for i := 0; i < 10; i++ {
		switch y := any(i).(type) {
		case int, []string:
			continue outer
		default:
			_ = y
		}
		select {
		case v := <-ch:
			p.x[i], p.y = v, nil
		case ch <- 1:
		}
	}
	m := map[string][]Pair[int, string]{
		"a": {{1, nil}, {Key: 2}},
		"b": nil,
	}
	for range m {
	}
	var f = struct{ x int }{1}.x + 'a' - '\\'' + len(`raw "text"`) + 1e-3i
	return Map[int, V](v), fmt.Errorf("%v",
		f,
	)
}
"""
C = r"""
#include <stdio.h>
#define MAX(a, b) ((a) > (b) ? (a) : (b)) /* a
   comment */ + \
   more
#if defined A && /* one
*/ B > 1 // two
#  include MAX(1, 2)
#elif 0
#endif A
#
#pragma "
#define LOG(text, ...) \
  printf(text, __VA_ARGS__)
#error don't
char *const volatile *a, (*b)(void), c[3] __attribute__((unused)), *const d;
typedef struct node { int value : 3, : 2, rest; struct node *next; } node_t;
enum { RED, GREEN = 2, };
#if/**/!defined(NODES) /* two
lines */ && -1 < 0 || \
  'a' == 97 // it's
struct list { TAILQ_ENTRY(node, 2) next; HANDLE(char *) const *first, rest[2]; CHECKED(a); int last; };
#elif(A) ? B : ~C
#endif
const struct list lists[], *const some[] = { { .last = 1 }, {}, }, none;
static const struct { int a; } tag[] = {{1}, {2}}, (*pair)[2] = &tag;
static const char *names[] = { [RED] = "red", "gre" "en" PRIu64 "\n", };
extern int (*handler(int sig, void (*func)(int)))(int) __attribute__((noreturn));
int old(a, b) int a; char *b; { return a; }
/** doc **/
static inline size_t count(const node_t *restrict n, unsigned long long mask[static 4], ...)
{
    size_t total = 0, *p = &total, i;
    node_t local = { .value = 1, .next = NULL }, *q = (node_t *) malloc(sizeof(node_t) * 2);
    for (int j = 0; j < 10; j++, --i) {
        if (n->value & 0x1FuL && !(q == NULL)) continue;
        else if (((char *) p)[3] == '\'') goto done;
        switch (j) { case 1 ... 3: break; default: total += (unsigned) -1 >> 3; }
    }
    do { n = n ? n->next : (void *) 0; } while (n);
    names[0][1] = va_arg(ap, char *)[0], *p++ = .5e-3f;
    return (struct pair) { 1, 2 }.a + sizeof total - (*handler(1, 0))(3);
done:
    __asm__ volatile ("nop" : "=r" (total) : [in] "r" (i) : "memory");
    return ({ int t = 1; t; });
}
"""
JAVA = r'''
package org.example.demo;

import java.util.*;
import static java.lang.Math.max;

/** A class. */
@SuppressWarnings({"unchecked", "x"}) @Deprecated(since = "1.2")
public abstract class Demo<T extends Comparable<T> & Runnable, U> extends Base<List<? super T>> implements A, B.C<int[]> {
    private static final Map<String, List<Integer>> TABLE = new HashMap<>();
    int x = 0x1F, y[] = {1, 2}, z = 1_000;
    static { TABLE.put("a\"b", null); }
    enum Color { RED(1) { void f() {} }, GREEN; int v; }
    @interface Note { String value() default "x"; int[] n() default {}; }
    public Demo(final int a, T... rest) throws IOException { super(a); this.x = a; }
    public <R> R apply(Function<? super T, ? extends R> f, int[]... n) {
        List<Map<String, T[]>> list = new ArrayList<Map<String, T[]>>(), other;
        int[][] grid = new int[3][], more = {{1}, {}};
        for (Map.Entry<String, ? extends List<T>> e : TABLE.entrySet()) e.getValue().<T>get(0);
        for (int i = 0, j = 1; i < n.length && (i >> 1) >= j >>> 2; i++, j--) { label: continue label; }
        Runnable r = () -> System.out.println((String) x + (int) 'c'), s = this::toString;
        list.stream().map((Foo a, int b) -> { return a; }).collect(Collectors.toMap(k -> k, ArrayList<T>::new));
        String text = """
            a "text" block
            """ + (x instanceof String str && str.isEmpty() ? "a" : -1.5e3f);
        int v = switch (x) { case 1, 2 -> 3; case RED -> { yield new E().f() + 4; } default -> throw new E(); };
        switch (x) { case 'a': case 2: break; default: }
        try (var in = open(); Reader q = new Reader(in)) { do x--; while (x > 0); }
        catch (IOException | Error e) { throw e; } finally { synchronized (this) { assert x > 0 : "m"; } }
        return new Outer<T>(1) { @Override int f() { return ((Function<A, B>) g).apply(null); } }.new Inner();
    }
}
'''
JAVASCRIPT = r"""#!/usr/bin/env node
'use strict'
import def, { a as b, default as c } from './mod.js'
import * as all from "all";
export { x, y as default } from 'z'
export default class A extends (B, C) {
  static #count = 0
  get size() { return this.#count }
  async *items(a, { b = 1, ...c } = {}, [d, , e] = [], ...rest) { yield* a; yield }
  [`k${1}`]() {}
}
const re = /[/\]]+\/(?:a|b)*/gi, half = x / 2 / y, t = `a ${b ? `n${c}` : "}"} \` $ {`
let { p: [q], r = 2 } = o, s
var f = function () { return a
  + b }
  , g = async (x) => { await x }, h = x => ({ x, y: 1, 'z': 2, [k]: 3, if: 4, get w() {}, async m() {}, ...rest })
label: for (const [k, v] of Object.entries(o)) { if (k in o) continue label; else break }
for (var i = 0, n = 1_0n; i < n; i++, --n) ;
for await (x of y) z()
do x++; while (x < 5) y()
if (a) b()
else c?.d?.[e]?.(f) ?? g ** 2
switch (typeof x) { case 1: case 'a': y; break; default: { } }
try { throw new Foo.Bar(1).baz } catch { } finally { delete a.b, void 0 }
x = a
/** doc **/
function k(a) { return /re/.test(a) ? 1 : .5e3 }
(function () { })()
"""
WHOLE = {"go": GO, "c": C, "java": JAVA, "javascript": JAVASCRIPT}

WRONG = {
    "go": [
        "package p\nfunc f()\n{\n}",
        "package p\nvar x = a\n\t+ b\n.c",
        "package p\nfunc f() { g(a\n) }",
        "package p\nfunc f() { if x == T{1} { } }",
        "package p\nvar a b c d",
        "package p\nvar x = 12ab",
        "packagep",
        "package p\nfunc f() { a b }",
        'package p\nimport "a"\nvar x = /** no end',
        "package p\nvar x = []int{1,\n2\n}",
        "package p\ntype func int",
        "package p\nfunc f() { for x := y { } }",
        "package p\nfunc f() { for x++ { } }",
        "package p\nfunc f[P]() { }",
        "package p\nfunc f[P *]() { }",
        "package p\nfunc f[P []int Q any]() { }",
        "package p\ntype T[P []int, Q] struct{ }",
        "package p\ntype T[P map[K]V",
    ],
    "c": [
        "int f( { }",
        "int f(void) { return 1 }",
        "int f(void) { a b + c; }",
        "int f(void) { if x { } }",
        "int x = 12ab;",
        "int f(void) { x = ; }",
        "int f(void) { } }",
        "/** no end",
        'char *s = "abc;\n',
        "intx(",
        "int f(void) { while (1) else x; }",
        "#include #<stdio.h>\n",
        "#include <stdio.h\n",
        "#define F(a, b*) a\n",
        "#define F(a b\n",
        "#ifdef A[B\n#endif\n",
        "#>include <stdio.h>\n",
        "#eturn x\n",
        "#if\n#endif\n",
        "#if /* A\n#endif\n",
        "#elif // A\n",
        "struct a { F(b) };",
        "struct a { F(b c; };",
        "struct a { F(b) { } };",
        "struct a { F(b) c; d",
        "const struct a b[] = {1};}",
        "const struct a b[ = {1};",
        "const struct a b[] = ;",
        "int a, ;",
        "int *;",
        "char *a, *, *b;",
        "char * int a;",
        "unsigned a, b long c;",
    ],
    "java": [
        "class A { int x }",
        "class A { void f() { int if = 3; } }",
        "class A { void f( { } }",
        "classA { }",
        "class A { void f() { x = 3 } }",
        "class A { int x = 08x; }",
        "class A { /** no end",
        'class A { String s = "a\n"; }',
        "class A { void f() { a b c; } }",
        "import a.b class A { }",
        "class A { void f() { if x > 1 { } } }",
        "class A { void f() { thro new E(); } }",
        "class A { void f() { x 1; } }",
    ],
    "javascript": [
        "let x = 1 let y = 2",
        "a b",
        "if (a { }",
        "x = 12ab",
        "function () { }",
        "let if = 1",
        "/** no end",
        "x = 'a\n'",
        "return /re",
        "x = `${a`",
        "class A { x y }",
        "functionf() { }",
        "a ? b",
        "for (let x of) { }",
    ],
}


@pytest.mark.parametrize("name", WHOLE)
def test_accepted(name: str) -> None:
    shipped.parser(name).parse(WHOLE[name])


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_refused(name: str, text: str) -> None:
    assert not shipped.accepts(name, text)


@pytest.mark.parametrize("name", WHOLE)
def test_without_a_bracket(name: str) -> None:
    """Wherever a bracket is taken out of the text, it is no longer a program (a bracket in a comment or string aside)."""
    text = WHOLE[name]
    sure = [at for at, char in enumerate(text) if char in "(){}"]
    sample = random.Random(0).sample(sure, 40)
    refused = sum(not shipped.accepts(name, text[:at] + text[at + 1 :]) for at in sample)
    assert refused >= 34, refused


def sources(name: str) -> list[Path]:
    folder = os.environ.get("STRUCTGEN_SOURCES")
    paths = [p for s in SUFFIXES[name] for p in Path(folder, name).rglob(f"*{s}")] if folder else []
    found = sorted(p for p in paths if p.is_file())
    if not found:
        pytest.skip(f"no real files: STRUCTGEN_SOURCES names no folder with a folder {name!r}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_real_files(name: str) -> None:
    """97 % of the files of up to 60 kB that tree-sitter reads without an error are accepted."""
    tree_sitter = pytest.importorskip("tree_sitter")
    language = tree_sitter.Language(pytest.importorskip(f"tree_sitter_{name}").language())
    oracle = tree_sitter.Parser(language)
    good = accepted = 0
    for path in random.Random(0).sample(found := sources(name), len(found)):
        data = path.read_bytes()
        if len(data) > 60_000 or good == 300:
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if not oracle.parse(data).root_node.has_error:
            good += 1
            accepted += shipped.accepts(name, text)
    assert accepted / good >= 0.97, (accepted, good)
