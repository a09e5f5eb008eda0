//! `#[derive(Record)]` for structs with named fields.
//!
//! For `struct Flight { carrier: String, delay: Option<i32> }` it implements
//! `millstream_data::Value` and generates three types beside it: `FlightView<'a>`, the row as it is
//! read in place (`carrier: &'a str, delay: Option<i32>`), `FlightColumns<'a>` and `FlightSlots`.
//! `#[record(key)]` on the struct implements `Key`, too, so that records can be grouped by it.

use proc_macro::TokenStream;
use proc_macro2::{Ident, TokenStream as Tokens};
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Result, Type, Visibility};

/// Implements `Value` for a struct and generates its view.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// What the derive reads of the struct.
struct Struct<'a> {
    name: &'a Ident,
    visibility: &'a Visibility,
    fields: Vec<(&'a Visibility, &'a Ident, &'a Type)>,
    key: bool,
}

fn expand(input: &DeriveInput) -> Result<Tokens> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "Record is derived for structs"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(Error::new_spanned(
            &input.ident,
            "Record needs named fields: they are the names of the columns",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a Record has no generic parameters"));
    }
    let fields: Vec<_> = named
        .named
        .iter()
        .filter_map(|field| Some((&field.vis, field.ident.as_ref()?, &field.ty)))
        .collect();
    if fields.is_empty() {
        return Err(Error::new_spanned(&input.ident, "a Record has at least one field"));
    }
    let parsed =
        Struct { name: &input.ident, visibility: &input.vis, fields, key: wants_key(input)? };
    let types = types(&parsed);
    let value = value(&parsed);
    let key = if parsed.key { key(&parsed) } else { Tokens::new() };
    Ok(quote!(#types #value #key))
}

fn wants_key(input: &DeriveInput) -> Result<bool> {
    let mut key = false;
    for attribute in input.attrs.iter().filter(|a| a.path().is_ident("record")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("key") {
                key = true;
                Ok(())
            } else {
                Err(meta.error("expected `key`"))
            }
        })?;
    }
    Ok(key)
}

fn types(parsed: &Struct<'_>) -> Tokens {
    let Struct { name, visibility, fields, .. } = parsed;
    let (view, columns, slots) = names(name);
    let view_doc = format!("A [`{name}`] that is read in place.");
    let view_fields = fields.iter().map(|(vis, field, ty)| {
        let doc = format!("[`{name}::{field}`], in place.");
        quote!(#[doc = #doc] #vis #field: <#ty as ::millstream_data::Value>::View<'a>)
    });
    let column_fields = fields
        .iter()
        .map(|(_, field, ty)| quote!(#field: <#ty as ::millstream_data::Value>::Columns<'a>));
    let slot_fields = fields
        .iter()
        .map(|(_, field, ty)| quote!(#field: <#ty as ::millstream_data::Value>::Slots));
    quote! {
        #[doc = #view_doc]
        #[derive(Clone, Copy, Debug, PartialEq)]
        #visibility struct #view<'a> {
            #(#view_fields,)*
        }

        #[doc(hidden)]
        #[derive(Clone, Copy)]
        #visibility struct #columns<'a> {
            #(#column_fields,)*
        }

        #[doc(hidden)]
        #[derive(Clone, Copy)]
        #visibility struct #slots { #(#slot_fields,)* }
    }
}

fn value(parsed: &Struct<'_>) -> Tokens {
    let Struct { name, fields, .. } = parsed;
    let (view, columns, slots) = names(name);
    let names: Vec<_> = fields.iter().map(|(_, field, _)| *field).collect();
    let labels = names.iter().map(|field| {
        let label = field.to_string();
        label.strip_prefix("r#").map_or(label.clone(), str::to_owned)
    });
    let types: Vec<_> = fields.iter().map(|(_, _, ty)| *ty).collect();
    quote! {
        impl ::millstream_data::Value for #name {
            type View<'a> = #view<'a>;
            type Slots = #slots;
            type Columns<'a> = #columns<'a>;
            const NESTED: bool = true;
            const LISTS: usize = 0 #(+ <#types as ::millstream_data::Value>::LISTS)*;

            fn data_type() -> ::millstream_data::types::DataType {
                ::millstream_data::types::DataType::Row(::core::iter::FromIterator::from_iter([
                    #(::millstream_data::value::field::<#types>(#labels)),*
                ]))
            }

            fn slots(cursor: &mut ::millstream_data::page::SlotCursor<'_>) -> #slots {
                #slots { #(#names: <#types as ::millstream_data::Value>::slots(cursor)),* }
            }

            fn columns<'a>(
                cursor: &mut ::millstream_data::page::ColumnCursor<'a>,
            ) -> #columns<'a> {
                #columns {
                    #(#names: <#types as ::millstream_data::Value>::columns(cursor),)*
                }
            }

            #[inline(always)]
            fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
                #view {
                    #(#names: <#types as ::millstream_data::Value>::at(&columns.#names, row),)*
                }
            }

            #[inline(always)]
            fn view(&self) -> #view<'_> {
                #view {
                    #(#names: <#types as ::millstream_data::Value>::view(&self.#names),)*
                }
            }

            fn own(view: #view<'_>) -> Self {
                Self { #(#names: <#types as ::millstream_data::Value>::own(view.#names)),* }
            }

            #[inline(always)]
            fn put(
                view: #view<'_>,
                slots: #slots,
                row: usize,
                cells: &mut ::millstream_data::page::Cells<'_>,
            ) -> ::core::result::Result<(), ::millstream_data::page::Full> {
                #(<#types as ::millstream_data::Value>::put(view.#names, slots.#names, row, cells)?;)*
                ::core::result::Result::Ok(())
            }

            #[inline]
            fn heap_bytes(view: #view<'_>) -> usize {
                0 #(+ <#types as ::millstream_data::Value>::heap_bytes(view.#names))*
            }

            fn count_elements(view: #view<'_>, domain: usize, elements: &mut [u32]) {
                let mut next = domain;
                #(
                    <#types as ::millstream_data::Value>::count_elements(
                        view.#names, next, elements,
                    );
                    next += <#types as ::millstream_data::Value>::LISTS;
                )*
                let _ = next;
            }

            fn put_null(
                slots: #slots,
                row: usize,
                cells: &mut ::millstream_data::page::Cells<'_>,
            ) {
                #(<#types as ::millstream_data::Value>::put_null(slots.#names, row, cells);)*
            }
        }
    }
}

fn key(parsed: &Struct<'_>) -> Tokens {
    let Struct { name, fields, .. } = parsed;
    let (view, ..) = names(name);
    let names: Vec<_> = fields.iter().map(|(_, field, _)| *field).collect();
    let types: Vec<_> = fields.iter().map(|(_, _, ty)| *ty).collect();
    quote! {
        impl ::millstream_data::Key for #name {
            #[inline(always)]
            fn hash(view: #view<'_>, state: u64) -> u64 {
                #(let state = <#types as ::millstream_data::Key>::hash(view.#names, state);)*
                state
            }

            #[inline(always)]
            fn same(a: #view<'_>, b: #view<'_>) -> bool {
                #(<#types as ::millstream_data::Key>::same(a.#names, b.#names))&&*
            }
        }
    }
}

fn names(name: &Ident) -> (Ident, Ident, Ident) {
    (format_ident!("{name}View"), format_ident!("{name}Columns"), format_ident!("{name}Slots"))
}
