use wellposed::*;
struct Disk; impl source::Loader for Disk { fn open(&self, p:&std::path::Path)->std::io::Result<Box<dyn std::io::Read+Send+'_>>{Ok(Box::new(std::fs::File::open(p)?))} }
fn main(){ for f in std::env::args().skip(1) { let t=std::fs::read_to_string(&f).unwrap(); let mut s=source::Sources::default(); let id=s.add(f.clone(),t); let n=front::notation_of(&f).unwrap(); let t0=std::time::Instant::now(); let (spec,mut d)=front::parse(&s,id,n); let e=t0.elapsed(); 
let (g,d2)=lower::lower(&spec,std::path::Path::new(&f),&Disk); let e2=t0.elapsed(); d.extend(d2); d.sort(); if std::env::var("AST").is_ok(){println!("{spec:#?}");} print!("{}",diag::render::full(&d,&s,diag::render::Look::PLAIN)); println!("{f} {e:?} {e2:?} {}", d.iter().count());
let has=d.has_errors(); print!("{}",graph::print(&g)); match graph::verify(g){Ok(_)=>println!("verified"),Err(v)=>println!("{has} {v:?}")} } }
